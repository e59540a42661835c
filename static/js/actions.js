// What the buttons do: one listener, one table from data-do to the deed.
import { call } from "./api.js";
import { prefix } from "./page.js";
import { say } from "./say.js";

const one = (verb, done) => async (button) => {
  const id = button.closest("[data-id]").dataset.id;
  await call("POST", `/jobs/${id}/${verb}`);
  say(`Job ${id} ${done}.`);
};

const DEEDS = {
  cancel: one("cancel", "is cancelled, or asked to stop"),
  retry: one("retry", "goes to the tail of todo again"),
  forget: forget,
  pause: () => call("POST", "/queue/pause"),
  resume: () => call("POST", "/queue/resume"),
  copy: copy,
};

async function forget(button) {
  const id = button.closest("[data-id]").dataset.id;
  if (!confirm(`Delete job ${id} for good, with its log and result?`)) return;
  await call("DELETE", `/jobs/${id}`);
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

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-do]");
  const deed = button && DEEDS[button.dataset.do];
  if (!deed || button.disabled) return;
  button.disabled = true;
  try {
    await deed(button, event);
  } catch (error) {
    say(error.status || !(error instanceof TypeError) ? error.message : "The server does not answer; not known to be done.", true);
  } finally {
    button.disabled = false;
  }
});
