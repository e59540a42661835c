// The bar of what is selected: how many, what one may do to them, and afterwards what came of it. The ticked boxes are the
// selection: their lists stand still meanwhile (lists.js).
import { act, step, why } from "../actions.js";
import { call } from "../api.js";
import { sure } from "../confirm.js";
import { part, setText } from "../page.js";
import { allows } from "../rows.js";
import { say } from "../say.js";
import { number } from "../words.js";

const CAP = 10000; // jobs that one call takes
const DONE = { retry: "retried", cancel: "cancelled, or asked to stop", run: "put into todo", forget: "deleted" };

const bar = document.getElementById("selection");
const seen = new WeakMap(); // box -> {id, state, revision}: the job as it was when it was picked
let counts = {};
let whole = false; // all of their list, rather than those that were picked
let home = null; // where the focus goes when the bar does
let changed = () => {};

const picks = () => [...document.querySelectorAll(".pick:checked")];
const picked = () => picks().map((pick) => seen.get(pick));
const fitting = (jobs, verb) => jobs.filter(({ state }) => allows(state, verb));

// The one state that all *jobs* are in, or null, and how many there are in it.
function list(jobs) {
  const states = new Set(jobs.map(({ state }) => state));
  const [name] = states.size === 1 ? states : [null];
  return { name, all: counts[name] ?? 0 };
}

function words(n, { name, all }) {
  if (!whole) return n ? `${number(n)} selected` : "";
  return `all ${number(all)} ${name} selected${all > CAP ? `, the oldest ${number(CAP)} at a time` : ""}`;
}

function draw() {
  const focused = document.activeElement;
  const jobs = picked();
  const n = jobs.length;
  const one = list(jobs);
  bar.hidden = !n && !part(bar, "report").textContent;
  document.documentElement.toggleAttribute("data-picking", !bar.hidden);
  setText(part(bar, "count"), words(n, one));
  part(bar, "whole").hidden = whole || one.all <= n;
  setText(part(bar, "whole"), `select all ${number(one.all)} ${one.name}`);
  for (const button of bar.querySelectorAll("[data-verb]")) button.hidden = !fitting(jobs, button.dataset.verb).length;
  if (bar.contains(focused) && !focused.checkVisibility()) (bar.hidden ? place() : part(bar, "clear")).focus({ preventScroll: true });
}

// The list that was picked from, or the one in sight where that is not.
const place = () => (home.checkVisibility() ? home : document.querySelector(`#${document.body.dataset.view} .scroll`));

async function perform(button) {
  const { verb } = button.dataset;
  const { name, all } = list(picked());
  const jobs = fitting(picked(), verb);
  const n = whole ? Math.min(CAP, all) : jobs.length;
  if (verb === "forget" && !(await sure(`Delete ${number(n)} ${n === 1 ? "job" : "jobs"} for good, with log and result?`))) return;
  await (whole ? toAll(verb, name, n) : toEach(verb, jobs));
}

async function toAll(verb, state, limit) {
  const { matched, done } = await call("POST", `/jobs/${verb === "forget" ? "delete" : verb}`, { state, limit });
  const rest = matched > done ? ` ${number(matched - done)} more match: do it again for the rest.` : "";
  report(`${number(done)} ${DONE[verb]}.${rest}`, []);
}

// Each for itself, as it was seen: who lost a race is told of, the others go through.
async function toEach(verb, jobs) {
  const answers = await Promise.allSettled(jobs.map((job) => step(verb, job)));
  const lost = answers.filter(({ status }) => status === "rejected").map(({ reason }) => why(reason));
  const done = `${number(jobs.length - lost.length)} ${DONE[verb]}`;
  report(lost.length ? `${done}, ${number(lost.length)} not:` : `${done}.`, [...new Set(lost)]);
}

function report(sentence, lost) {
  const lines = lost.length ? [sentence, ...lost] : [];
  if (!lost.length) say(sentence);
  pick([], lines.map((text) => Object.assign(document.createElement("p"), { textContent: text })));
}

// These boxes are the ticked ones; what was reported before is over.
function pick(boxes, lines = []) {
  const kept = new Set(boxes);
  for (const box of picks()) box.checked = kept.has(box);
  whole = false;
  part(bar, "report").replaceChildren(...lines);
  draw();
  changed();
}

export function renderSelection(state) {
  if (!bar) return;
  counts = state.counts;
  if (!bar.hidden) draw();
}

function see(box) {
  seen.set(box, { ...box.closest(".row").dataset });
  home = box.closest(".scroll");
}

export function setUpSelection(redraw) {
  if (!bar) return;
  changed = redraw;
  picks().forEach(see); // those that were ticked before this script came
  pick(picks());
  document.addEventListener("change", ({ target }) => {
    if (!target.matches(".pick")) return;
    see(target);
    pick(picks());
  });
  act({ many: perform, whole: () => { whole = true; draw(); }, "let-go": () => pick([]) });
}
