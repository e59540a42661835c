// Said only while something is paused: which, why, since when.
import { act } from "../actions.js";
import { call } from "../api.js";
import { part, setText } from "../page.js";

let pausedQueues = [];

function sentence([queue, pause]) {
  const at = pause?.at ? ` since ${new Date(pause.at).toLocaleTimeString()}` : "";
  return `Queue ${queue} is paused${at}${pause?.why ? `: ${pause.why}` : ""}.`;
}

export function renderPause(root, state) {
  const queues = Object.entries(state.pausedQueues);
  pausedQueues = queues.map(([queue]) => queue);
  root.hidden = !state.paused && !queues.length;
  const all = state.paused ? ["Paused: nothing new starts. Pushes are still accepted."] : [];
  setText(part(root, "words"), [...all, ...queues.map(sentence)].join(" "));
  for (const button of document.querySelectorAll('[data-do="pause"]')) button.hidden = state.paused;
  for (const button of document.querySelectorAll('[data-do="resume"]')) button.hidden = !state.paused;
}

act({
  "resume-all": async () => {
    await call("POST", "/queue/resume");
    for (const queue of pausedQueues) await call("POST", "/queue/resume", { queue });
  },
});
