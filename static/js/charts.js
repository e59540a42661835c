// The charts: what is new is asked for when something has changed, at most once a second, and drawn. An idle page is still.
import { call } from "./api.js";
import { tick } from "./clock.js";
import { Live } from "./live.js";
import { part, setText } from "./page.js";
import { renderConnection } from "./panels/connection.js";
import { Plot } from "./plot.js";
import { State } from "./state.js";
import { Steps } from "./steps.js";
import "./actions.js";

const ASK_AGAIN = 1000; // ms between two questions
const LATE = 100; // ms after the end of a step at which it is asked for

const root = document.getElementById("charts");
const step = Number(root.dataset.step);
const state = new State();
const steps = new Steps(step, Number(root.dataset.span));
const plots = [...root.querySelectorAll(".chart")].map((chart) => new Plot(chart, steps));
let timer = 0;
let asked = 0; // when the last question was put
let news = false; // whether a frame came that no answer can have told of

// Something has changed.
function onChange() {
  news = true;
  renderConnection(state, live);
  askIn(asked + ASK_AGAIN - Date.now());
}

function askIn(ms) {
  if (timer || document.hidden) return;
  timer = setTimeout(ask, Math.max(0, ms));
}

async function ask() {
  asked = Date.now();
  news = false;
  const body = await call("GET", `/charts?step=${step}&since=${steps.newest}`).catch(() => null);
  timer = 0;
  if (body) take(body);
  if (body?.open) askIn(rest(body.now));
  else if (news) askIn(ASK_AGAIN);
}

// ms until the step that is open now is over, by the server's clock.
const rest = (now) => step * 1000 - (Date.parse(now) % (step * 1000)) + LATE;

function take(body) {
  steps.take(body);
  setText(part(root, "starts"), steps.starts.map((at) => at.slice(0, 19).replace("T", " ")).join(", "));
  for (const plot of plots) plot.draw();
}

function redraw() {
  for (const plot of plots) plot.redraw();
}

const live = new Live(state, {
  onChange,
  onWord: (now) => renderConnection(state, now),
});
new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("visibilitychange", () => askIn(0));
askIn(0);
tick(() => live.tick());
