const ticked = () => [...element.querySelectorAll('.tick input:checked')].map((box) => box.closest('.tile').dataset.job);
const all = (selector, act) => element.querySelectorAll(selector).forEach(act);
// The bar above the tiles follows the ticks; nothing is asked of the server.
const follow = () => {
  const bar = element.querySelector('.chosen');
  if (!bar) return;
  const jobs = ticked();
  bar.hidden = jobs.length === 0;
  bar.querySelector('.count').textContent = jobs.length + ' chosen';
  bar.querySelector('[data-act="compare"]').disabled = jobs.length !== 2;
  const asked = new URLSearchParams(jobs.map((job) => ['job', job]));
  all('[data-export]', (link) => { link.href = 'library/export.zip?' + asked + (link.dataset.export ? '&inputs=1' : ''); });
};
let current = '';
// New tiles: nothing is chosen, and what is open is still marked.
watch('value', () => {
  all('.tick input', (box) => { box.checked = false; });
  all('.tile', (one) => one.classList.toggle('current', one.dataset.job === current));
  follow();
});
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
