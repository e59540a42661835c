// Light, dark, or as the system has it. A classic script before the stylesheets: the choice is known before the first paint.
(() => {
  const KEY = "webqueue.theme";
  const THEMES = ["system", "light", "dark"];
  const { dataset } = document.documentElement;

  const show = (theme) => { dataset.theme = THEMES.includes(theme) ? theme : "system"; };

  // Where nothing may be stored the choice lasts as long as the page.
  function stored() {
    try { return localStorage.getItem(KEY); } catch { return null; }
  }

  function choose(theme) {
    show(theme);
    try { localStorage.setItem(KEY, theme); } catch { /* see above */ }
  }

  show(stored());
  addEventListener("storage", (event) => event.key === KEY && show(event.newValue));
  document.addEventListener("click", (event) => {
    if (event.target.closest('[data-do="theme"]')) choose(THEMES[(THEMES.indexOf(dataset.theme) + 1) % THEMES.length]);
  });
})();
