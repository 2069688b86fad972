() => {
  const shown = (selector) => [...document.querySelectorAll(selector)].find((one) => one.offsetParent !== null);
  const bring = (place, block) => {
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    place?.scrollIntoView({behavior: calm ? 'auto' : 'smooth', block});
  };

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
    bring(document.getElementById('stage'), 'start');
  });

  // A video or picture whose line broke off is fetched again, each time after a longer wait; nobody else would.
  const waits = [1, 2, 4, 8, 15, 30, 60];
  document.addEventListener('error', (event) => {
    const broken = event.target;
    if (!broken.matches?.('video, img') || !(broken.currentSrc || broken.src).includes('/files/')) return;
    const tries = Number(broken.dataset.tries || 0);
    if (tries >= waits.length) return;
    broken.dataset.tries = tries + 1;
    setTimeout(() => (broken.load ? broken.load() : broken.setAttribute('src', broken.getAttribute('src'))), waits[tries] * 1000);
  }, true);

  // What an error names is brought into sight, and written on where one can write.
  const fields = {
    prompt: '.prompt', consent: '.consent', face: '.character', voice: '.voice', say: '.say', image: '.pictures',
    soundtrack: '.sound',
  };
  let named;
  new MutationObserver(() => {
    const alert = document.querySelector('#stage .card.failed .alert[data-field]');
    if (!alert || alert === named) return;
    named = alert;
    const field = fields[alert.dataset.field] && shown(fields[alert.dataset.field]);
    if (!field) return;
    // After the jump to the stage on a phone.
    setTimeout(() => {
      bring(field, 'center');
      field.querySelector('textarea, input[type=checkbox]')?.focus({preventScroll: true});
    }, 350);
  }).observe(document.getElementById('stage') || document.body, {childList: true, subtree: true});

  // What the gate refuses, Gradio's page would pass over in silence. Who is no longer let in sees the door.
  const told = document.createElement('div');
  told.id = 'refused';
  told.setAttribute('role', 'alert');
  document.body.append(told);
  const ask = window.fetch;
  const key = () => [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, '0')).join('');
  window.fetch = async (address, options) => {
    // A browser whose line is cut sends a call again by itself: by its key the studio knows it for the same.
    if (options?.method === 'POST') {
      options = {...options, headers: new Headers(options.headers)};
      options.headers.set('Idempotency-Key', key());
    }
    const answer = await ask(address, options);
    const refused = [403, 408, 413, 429].includes(answer.status) && !answer.url.includes('/upload');
    if (answer.status === 401) location.reload();
    if (refused && answer.url.startsWith(location.origin)) {
      const wait = Number(answer.headers.get('retry-after'));
      const {error} = await answer.clone().json().catch(() => ({}));
      told.textContent = `${error || 'The studio refused this'}.${wait ? ` Try again in ${wait} s.` : ''}`;
      clearTimeout(told.timer);
      told.timer = setTimeout(() => { told.textContent = ''; }, 8000);
    }
    return answer;
  };
}
