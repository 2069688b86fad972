const ticked = () => [...element.querySelectorAll('.tick input:checked')].map((box) => box.closest('.tile').dataset.job);
const all = (selector, act) => element.querySelectorAll(selector).forEach(act);
// The bar above the tiles follows the ticks; nothing is asked of the server.
const follow = () => {
  const bar = element.querySelector('.chosen');
  if (!bar) return;
  const jobs = chosen = ticked();
  bar.hidden = jobs.length === 0;
  bar.querySelector('.count').textContent = jobs.length + ' chosen';
  bar.querySelector('[data-act="compare"]').disabled = jobs.length !== 2;
  const asked = new URLSearchParams(jobs.map((job) => ['job', job]));
  all('[data-export]', (link) => { link.href = 'library/export.zip?' + asked + (link.dataset.export ? '&inputs=1' : ''); });
};
// What somebody is about, so that it can be put back over tiles that come by themselves.
let current = '', chosen = [], menus = [], focused = '';
const place = (element.closest('#tiles') || element).dataset;
// New tiles: nothing is chosen, and what is open is still marked. Those that a job's end brings change nothing else.
watch('value', () => {
  const fresh = place.fresh === 'coming';
  place.fresh = '';
  all('.tick input', (box) => { box.checked = fresh && chosen.includes(box.closest('.tile').dataset.job); });
  all('.tile', (one) => one.classList.toggle('current', one.dataset.job === current));
  follow();
  if (!fresh) return;
  element.querySelectorAll('details').forEach((menu, index) => { menu.open = menus[index] === true; });
  // Gradio writes the new tiles into the elements of the old ones: the focus is on another video now.
  if (focused) element.querySelector(focused)?.focus({preventScroll: true});
});
// A job has ended (waiting.py): whoever looks at the tiles sees what came of it; else they are asked for when opened.
document.addEventListener('job-ended', () => {
  if (!element.offsetParent) return;
  place.fresh = 'asked';
  trigger('select');
});
element.addEventListener('toggle', () => {
  menus = [...element.querySelectorAll('details')].map((menu) => menu.open);
}, true);
element.addEventListener('focusin', ({target}) => {
  const job = target.closest('.tile')?.dataset.job;
  focused = job ? `.tile[data-job="${job}"] ${target.matches('.tick input') ? '.tick input' : '.open'}` : '';
});
element.addEventListener('focusout', () => { focused = ''; });
element.addEventListener('change', (event) => { if (event.target.closest('.tick')) follow(); });
element.addEventListener('click', (event) => {
  const link = event.target.closest('[data-export]');
  if (link) setTimeout(() => { link.closest('details').open = false; });
  const button = event.target.closest('[data-act]');
  if (!button) return;
  const act = button.dataset.act, tile = button.closest('.tile');
  if (act === 'none') {
    all('.tick input:checked', (box) => { box.checked = false; });
    return follow();
  }
  current = tile ? tile.dataset.job : act === 'compare' ? '' : current;
  all('.tile', (one) => one.classList.toggle('current', one.dataset.job === current));
  // Where it is shown comes into sight once it is there (detail.js).
  const place = document.getElementById('gallery-detail');
  if (place && (act === 'open' || act === 'compare')) place.dataset.wanted = 'yes';
  trigger('click', {act, jobs: tile ? [tile.dataset.job] : ticked()});
});
