// What the buttons do: one listener, one table from data-do to the deed.
import { call } from "./api.js";
import { sure } from "./confirm.js";
import { prefix } from "./page.js";
import { say } from "./say.js";

// Does *verb* to one job, {id, revision} as it was seen: where it has moved on since, it is refused.
export function step(verb, { id, revision }) {
  const [method, path] = verb === "forget" ? ["DELETE", ""] : ["POST", `/${verb}`];
  return call(method, `/jobs/${id}${path}`, undefined, { "If-Match": `"${revision}"` });
}

const one = (verb, done) => async (button) => {
  const job = button.closest("[data-id]").dataset;
  await step(verb, job);
  say(`Job ${job.id} ${done}.`);
};

const DEEDS = {
  cancel: one("cancel", "is cancelled, or asked to stop"),
  retry: one("retry", "goes to the tail of todo again"),
  run: one("run", "goes to the tail of todo"),
  forget: forget,
  pause: () => call("POST", "/queue/pause"),
  resume: () => call("POST", "/queue/resume"),
  copy: copy,
};

async function forget(button) {
  const job = button.closest("[data-id]").dataset;
  if (!(await sure(`Delete job ${job.id} for good, with its log and result?`))) return;
  await step("forget", job);
  location.assign(`${prefix}/`);
}

async function copy(button) {
  const source = button.parentElement.querySelector("code, pre");
  if (navigator.clipboard) await navigator.clipboard.writeText(source.textContent);
  else copySelected(source); // over plain HTTP off loopback there is no clipboard to write to
  const before = button.textContent;
  button.textContent = "copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}

function copySelected(source) {
  getSelection().selectAllChildren(source);
  document.execCommand("copy");
  getSelection().removeAllRanges();
}

// Adds deeds of one page: {name: async (button, event) => ...}.
export function act(deeds) {
  Object.assign(DEEDS, deeds);
}

// Why something was not done; nobody's answer is no refusal.
export const why = (error) => (error.status || !(error instanceof TypeError) ? error.message : "The server does not answer; not known to be done.");

const busy = new Set(); // buttons whose deed is not over; not disabled, which would take the focus from them

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-do]");
  const deed = button && DEEDS[button.dataset.do];
  if (!deed || busy.has(button) || event.detail > 1) return; // a double click's second is not meant for what has come there since
  busy.add(button);
  try {
    await deed(button, event);
  } catch (error) {
    say(why(error), true);
  } finally {
    busy.delete(button);
  }
});
