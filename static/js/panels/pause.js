// Said only while something is paused: which, by whom, since when, why. The news say only what is paused; the rest is
// asked for when that changes.
import { act } from "../actions.js";
import { call } from "../api.js";
import { part, setText } from "../page.js";

let pausedQueues = [];
let asked = ""; // for which pauses

function sentence({ queue, who, why, at }) {
  const what = queue === null ? "Paused: nothing new starts, pushes are still accepted" : `Queue ${queue} is paused`;
  const since = at ? `, since ${new Date(at).toLocaleTimeString()}` : "";
  return `${what}${who ? `, by ${who}` : ""}${since}${why ? `: ${why}` : ""}.`;
}

async function ask(root, state) {
  const what = JSON.stringify([state.paused, state.pausedQueues]);
  if (what === asked) return;
  asked = what;
  if (root.hidden) return;
  const { pauses } = await call("GET", "/queue");
  if (what === asked) setText(part(root, "words"), pauses.map(sentence).join(" "));
}

export function renderPause(root, state) {
  const queues = Object.entries(state.pausedQueues);
  pausedQueues = queues.map(([queue]) => queue);
  root.hidden = !state.paused && !queues.length;
  ask(root, state).catch(() => {
    asked = "";
  });
  for (const button of document.querySelectorAll('[data-do="pause"]')) button.hidden = state.paused;
  for (const button of document.querySelectorAll('[data-do="resume"]')) button.hidden = !state.paused;
}

act({
  "resume-all": async () => {
    await call("POST", "/queue/resume");
    for (const queue of pausedQueues) await call("POST", "/queue/resume", { queue });
  },
});
