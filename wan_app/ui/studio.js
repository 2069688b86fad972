() => {
  const shown = (selector) => [...document.querySelectorAll(selector)].find((one) => one.offsetParent !== null);

  // Ctrl+Enter (Cmd+Enter on a Mac) presses the Generate button in sight.
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    const button = shown('button.generate');
    if (!button || button.disabled) return;
    event.preventDefault();
    button.click();
  }, true);

  // The clip starts muted, as browsers want it. With sound it plays once, from the start.
  document.addEventListener('click', (event) => {
    const listen = event.target.closest && event.target.closest('button.listen');
    if (!listen) return;
    const video = listen.parentElement.querySelector('video');
    Object.assign(video, {muted: false, loop: false, currentTime: 0});
    video.play();
  });
  // The button has nothing to say while the sound is on.
  document.addEventListener('volumechange', ({target}) => {
    const listen = target.parentElement?.querySelector('button.listen');
    if (listen) listen.hidden = !target.muted && target.volume > 0;
  }, true);

  // On a phone the stage lies below the inputs: go there when something starts to happen on it.
  document.addEventListener('click', (event) => {
    const starts = event.target.closest && event.target.closest('button.generate, button.example');
    if (!starts || window.innerWidth > 820) return;
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    document.getElementById('stage')?.scrollIntoView({behavior: calm ? 'auto' : 'smooth', block: 'start'});
  });
}
