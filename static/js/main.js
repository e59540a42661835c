// The dashboard: one state, drawn once a frame, whatever arrives in between.
import { act } from "./actions.js";
import { call } from "./api.js";
import { tick } from "./clock.js";
import { List } from "./lists.js";
import { Live } from "./live.js";
import { setText } from "./page.js";
import { renderConnection } from "./panels/connection.js";
import { renderCounts, summary } from "./panels/counts.js";
import { renderPause } from "./panels/pause.js";
import { renderSelection, setUpSelection } from "./panels/selection.js";
import { renderWarnings } from "./panels/warnings.js";
import { setUpPush } from "./panels/push.js";
import { say } from "./say.js";
import { State } from "./state.js";
import { followAddress, tab } from "./views.js";
import "./keys.js";

const SUMMARY_EVERY = 10000; // ms between two summaries read aloud
const LONGEST = 100; // ms that one drawing may count for
const ASK_AGAIN = 1000; // ms between two requests for what the lists miss

const $ = (id) => document.getElementById(id);
const state = new State();
let frame = 0;
let drawn = { end: 0, cost: 0 }; // when the last drawing was done, and how long it took
const painted = new MessageChannel(); // a message sent while a frame is drawn arrives when it is laid out and painted
let told = 0;
let asking = 0;

// Asks for a drawing in the next frame, but never spends more than half of the time on them: input comes first.
function redraw() {
  if (frame) return;
  const rest = drawn.end + drawn.cost - performance.now();
  frame = rest > 0 ? setTimeout(() => requestAnimationFrame(draw), rest) : requestAnimationFrame(draw);
}

const job = (name) => ({ rows: (s) => s.list(name), total: (s) => s.counts[name] ?? 0 });
const lists = Object.fromEntries(["todo", "running", "done", "failed", "cancelled", "scheduled"].map((name) => [name, new List($(name), job(name), redraw)]));
lists.rejected = new List($("rejected"), { rows: (s) => s.rejections, total: (s) => s.refused, template: "rejection-row" }, redraw);

function draw() {
  const begun = performance.now();
  frame = 0;
  if (state.epoch === null) return;
  for (const list of Object.values(lists)) list.render(state);
  renderSelection(state);
  renderCounts($("counts"), state);
  renderWarnings($("warnings"), state);
  renderPause($("paused"), state);
  renderConnection(state, live);
  if (!$("welcome").hidden) $("welcome").hidden = Object.values(state.counts).some(Boolean) || state.refused > 0;
  fillUp();
  painted.port2.postMessage(begun);
}

painted.port1.onmessage = ({ data: begun }) => {
  const end = performance.now();
  drawn = { end, cost: Math.min(LONGEST, end - begun) };
};

// What the snapshot could not hold: the rest of todo's head, and a tab whose jobs are older than the newest hundred.
function fillUp() {
  const name = tab();
  const missing = Math.min(100, state.counts[name] ?? 0) > state.list(name).length;
  if (live.word !== "connected" || asking || !(state.thin || missing)) return;
  asking = setTimeout(() => { asking = 0; redraw(); }, ASK_AGAIN);
  const question = state.thin ? live.ask("resync") : call("GET", `/jobs?state=${name}&limit=100`).then((page) => page.jobs.forEach(takeWhole));
  question.then(redraw, () => {});
}

// As a summary: what is whole has its payload with its secrets, and no preview without them.
function takeWhole({ payload, result, history, ...job }) {
  if (!state.jobs.has(job.id)) state.take({ ...job, preview: "" });
}

function summarise() {
  if (performance.now() - told < SUMMARY_EVERY || state.epoch === null) return;
  told = performance.now();
  setText($("summary"), summary(state));
}

const live = new Live(state, {
  onChange: redraw,
  onWord: (now) => (now.word === "connected" && !document.hidden ? redraw() : renderConnection(state, now)), // not before the lists
});
document.addEventListener("visibilitychange", () => document.hidden && renderConnection(state, live)); // now nothing is drawn

setUpPush($("push"), (id) => state.rejections.find((one) => one.id === id));
setUpSelection(redraw);
followAddress(redraw);
act({
  hold: (button) => {
    List.still = !List.still;
    button.ariaPressed = List.still;
    say(List.still ? "The lists stand still; the counts go on." : "The lists go on.");
    redraw();
  },
});
tick(() => {
  live.tick();
  summarise();
  if (state.epoch !== null) renderCounts($("counts"), state);
});
