// Keys, as the dialog behind "?" lists them; one that has nothing to act on does nothing. Off while somebody types. The
// cursor is the focus itself: a list holds still under it (lists.js), and Enter and screen readers know what to do with it.
import { act } from "./actions.js";
import { say } from "./say.js";

const LISTS = ["todo", "running", "rejected", "scheduled", "done", "failed", "cancelled"];
const GO = { t: "todo", r: "running", j: "rejected", s: "scheduled", d: "done", f: "failed", c: "cancelled" };
const TYPING = 'input:not([type="checkbox"]), textarea, select, [contenteditable]:not([contenteditable="false"])';
const STORED = "webqueue.keys";

const $ = (selector) => document.querySelector(selector);
const dialog = $("#keys");
const on = $("#keys-on");
let going = false; // after g, until its letter

const KEYS = {
  "/": () => $('input[type="search"], [data-filter]')?.focus(),
  "?": () => dialog.showModal(),
  j: () => move(1),
  k: () => move(-1),
  x: () => row()?.querySelector(".pick")?.click(),
  h: () => $('[data-do="hold"]').click(),
  r: () => press("retry"),
  c: () => press("cancel"),
  n: () => press("run"),
  d: () => press("forget"),
  p: () => $('[data-do="open-push"]')?.click(),
  t: () => turn("theme"),
  u: () => turn("times"),
  g: () => { going = true; },
  ...Object.fromEntries(LISTS.map((list, index) => [index + 1, () => go(list)])),
};

// Told at once, as the next key may be here before the browser tells; without a focus the next j begins in this list.
function go(list) {
  location.hash = list;
  dispatchEvent(new Event("hashchange"));
  document.activeElement.blur();
}

const row = () => document.activeElement.closest(".row");

function move(step) {
  const panels = [...document.querySelectorAll(".panel")].filter((panel) => panel.checkVisibility());
  const rows = panels.flatMap((panel) => [...panel.querySelectorAll("tbody .row")]);
  const next = row() ? rows[rows.indexOf(row()) + step] : first() ?? rows[0];
  if (next) stand(next);
}

function first() {
  const panel = document.activeElement.closest(".panel") ?? document.getElementById(document.body.dataset.view);
  return panel.querySelector("tbody .row");
}

// On its link, or its button; a refusal that one may only read has neither.
function stand(row) {
  row.tabIndex = -1;
  (row.querySelector("a, button:not([hidden])") ?? row).focus();
}

// To what is selected, else to the row under the cursor.
function press(verb) {
  const button = $(".pick:checked") ? $(`#selection [data-verb="${verb}"]`) : row()?.querySelector(`[data-do="${verb}"]`);
  if (button?.hidden === false) button.click();
}

// Of a button that goes through several choices: the next one, and which it is.
function turn(name) {
  const button = $(`[data-do="${name}"]`);
  button.click();
  say(button.innerText);
}

function pressed(event) {
  if ($("dialog[open]")) return;
  if (event.key === "Escape") return escape();
  if (!on.checked || event.key.length > 1 || event.ctrlKey || event.metaKey || event.altKey || event.target.closest(TYPING)) return;
  const deed = going ? GO[event.key] && (() => go(GO[event.key])) : KEYS[event.key];
  going = false;
  if (!deed) return;
  event.preventDefault();
  deed();
}

function escape() {
  going = false;
  ($('#selection:not([hidden]) [data-do="let-go"]') ?? $('[data-do="close-push"]'))?.click();
}

// Where nothing may be stored the choice lasts as long as the page.
function wanted() {
  try { return localStorage.getItem(STORED) !== "off"; } catch { return true; }
}

function keep() {
  try { localStorage.setItem(STORED, on.checked ? "on" : "off"); } catch { /* see above */ }
}

on.checked = wanted();
on.addEventListener("change", keep);
act({ keys: () => dialog.showModal() });
document.addEventListener("keydown", pressed);
