// Said only while something is held, or the server comes to its end: what, by whom, since when, why. The news say only what
// is paused; the rest is asked for when that changes.
import { act } from "../actions.js";
import { call } from "../api.js";
import { clock, tell } from "../clock.js";
import { clone, part, setText } from "../page.js";

const OURS = '[data-do="pause"], [data-do="resume"], [data-do="resume-all"]';
let pausedQueues = [];
let pauses = []; // as they were told last
let asked = ""; // for which pauses
let drawn = "";

function paused({ queue, who, why, at }) {
  const what = queue === null ? "Paused: nothing new starts, pushes are still accepted" : `Queue ${queue} is paused`;
  return { what: what + (who ? `, by ${who}` : ""), at, rest: why ? `: ${why}` : "" };
}

function ending({ at, until }) {
  const rest = until ? `; what still runs gets until ${clock(until)} and is then put back` : "";
  return { what: "Shutting down: takes no more pushes", at, rest: `: the process was asked to end${rest}` };
}

function line({ what, at, rest }) {
  const span = clone("held-line");
  setText(part(span, "what"), what);
  setText(part(span, "rest"), rest);
  tell(part(span, "time"), at, "clock");
  return span;
}

function draw(root, state) {
  const lines = [...(state.draining ? [ending(state.draining)] : []), ...pauses.map(paused)];
  const now = JSON.stringify(lines);
  if (now === drawn) return;
  drawn = now;
  part(root, "words").replaceChildren(...lines.map(line));
}

async function ask(root, state) {
  const what = JSON.stringify([state.paused, state.pausedQueues]);
  if (what === asked) return;
  asked = what;
  const any = state.paused || Object.keys(state.pausedQueues).length;
  const told = any ? (await call("GET", "/queue")).pauses : [];
  if (what !== asked) return;
  pauses = told;
  draw(root, state);
}

export function renderPause(root, state) {
  const focused = document.activeElement; // asked for first: what is hidden has no focus
  const queues = Object.entries(state.pausedQueues);
  const held = state.paused || queues.length > 0;
  pausedQueues = queues.map(([queue]) => queue);
  root.hidden = !held && !state.draining;
  for (const button of root.querySelectorAll('[data-do="resume-all"]')) button.hidden = !held;
  draw(root, state);
  ask(root, state).catch(() => {
    asked = "";
  });
  for (const button of document.querySelectorAll('[data-do="pause"]')) button.hidden = state.paused;
  for (const button of document.querySelectorAll('[data-do="resume"]')) button.hidden = !state.paused;
  if (focused.matches(OURS) && !focused.checkVisibility()) document.querySelector(`[data-do="${state.paused ? "resume" : "pause"}"]`).focus();
}

act({
  "resume-all": async () => {
    await call("POST", "/queue/resume");
    for (const queue of pausedQueues) await call("POST", "/queue/resume", { queue });
  },
});
