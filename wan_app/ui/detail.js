element.addEventListener('click', (event) => {
  if (!event.target.closest('[data-act="both"]')) return;
  element.querySelectorAll('video').forEach((video) => { video.currentTime = 0; video.play(); });
});
// What was asked for comes into sight: on a phone it lies above the tiles.
const show = () => {
  const place = document.getElementById('gallery-detail');
  if (!place || !place.dataset.wanted) return;
  delete place.dataset.wanted;
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  if (window.innerWidth <= 820 || place.getBoundingClientRect().top < 0)
    setTimeout(() => place.scrollIntoView({behavior: calm ? 'auto' : 'smooth', block: 'start'}), 60);
};
watch('value', show);
show(); // the first one, with which this came
