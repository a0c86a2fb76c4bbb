// Gradio's own words (drop a file here ...) follow the browser's language: let them follow the page's.
(() => {
  const language = window.vitascopeLanguage;
  for (const [name, value] of [['language', language], ['languages', [language]]]) {
    Object.defineProperty(Navigator.prototype, name, { get: () => value, configurable: true });
  }
  document.documentElement.lang = language;
  document.documentElement.classList.add('dark');
})();

// On a narrow screen the stage is below the form: go there once something was started.
document.addEventListener('click', (event) => {
  const stages = { 'create-make': 'create-stage', 'workflow-run': 'workflows-stage', 'train-start': 'train-stage' };
  const shown = { 'jobs-list': 'jobs-stage', 'train-list': 'train-stage', 'catalogue-list': 'catalogue-card' };
  const list = event.target.closest?.('#jobs-list [data-job], #train-list [data-job], #catalogue-list [data-card]');
  const stage = list ? shown[list.closest('[id]').id] : stages[event.target.closest?.('button')?.id];
  if (stage && window.innerWidth < 820) {
    setTimeout(() => document.getElementById(stage).scrollIntoView({ behavior: 'smooth', block: 'start' }), 400);
  }
});

// Two clips in step: the left one is the clock.
(() => {
  const MAX_DRIFT_S = 0.05;
  const parts = (inside) => {
    const root = inside.closest('.vs-compare');
    return root && { videos: [...root.querySelectorAll('video')], slider: root.querySelector('input'),
      told: root.querySelector('output'), button: root.querySelector('[data-play]') };
  };
  const length = (videos) => Math.min(...videos.map((video) => video.duration || 0));
  const seek = (videos, time) => videos.forEach((video) => { video.currentTime = time; });

  document.addEventListener('click', (event) => {
    const button = event.target.closest?.('.vs-compare [data-play]');
    if (!button) return;
    const { videos } = parts(button);
    if (!videos[0].paused) { videos.forEach((video) => video.pause()); button.textContent = '▶'; return; }
    seek(videos, videos[0].currentTime);
    videos.forEach((video) => video.play());
    button.textContent = '❚❚';
    const follow = () => {
      if (!button.isConnected || videos[0].paused) return;
      const found = parts(button), end = length(videos), now = videos[0].currentTime;
      if (now >= end - 0.02) seek(videos, 0);
      else if (Math.abs(videos[1].currentTime - now) > MAX_DRIFT_S) videos[1].currentTime = now;
      found.slider.value = end ? now / end : 0;
      found.told.textContent = now.toFixed(2);
      requestAnimationFrame(follow);
    };
    follow();
  });
  document.addEventListener('input', (event) => {
    if (!event.target.closest?.('.vs-compare')) return;
    const { videos, told, button } = parts(event.target);
    const time = event.target.value * length(videos);
    videos.forEach((video) => video.pause());
    button.textContent = '▶';
    seek(videos, time);
    told.textContent = time.toFixed(2);
  });
})();

// First frames of dropped clips, one after another: a browser keeps few connections to one place.
(() => {
  const draw = async (canvas) => {
    const video = Object.assign(document.createElement('video'), { muted: true, preload: 'auto', src: canvas.dataset.clip });
    await new Promise((done) => { video.onloadeddata = done; video.onerror = done; });
    const side = Math.min(video.videoWidth, video.videoHeight), size = canvas.width;
    if (side) {
      const left = (video.videoWidth - side) / 2, top = (video.videoHeight - side) / 2;
      canvas.getContext('2d').drawImage(video, left, top, side, side, 0, 0, size, size);
    }
    video.removeAttribute('src');
    video.load();
  };
  let drawing = false;
  const drawAll = async () => {
    if (drawing) return;
    drawing = true;
    for (let next; (next = document.querySelector('.vs-strip canvas:not([data-drawn])'));) {
      next.dataset.drawn = '';
      await draw(next);
    }
    drawing = false;
  };
  new MutationObserver(drawAll).observe(document.documentElement, { childList: true, subtree: true });
})();
