// Rows keyed by id: cloned from the template's one markup, filled in place, moved only where the order changed.
import { tell } from "./clock.js";
import { clone, part, setText, stillness } from "./page.js";
import { faults, moment, note, percent, shown, took, tries } from "./words.js";

const TINT = [{ backgroundColor: "var(--tint)" }, { backgroundColor: "transparent" }];
const FEW = 5; // where more rows are new at once a tint says nothing
const filled = new WeakMap(); // row -> what it shows: [item, place]

// Makes *list*'s rows those of *items* ({id}), in that order, each by fill(row, item, place).
export function reconcile(list, items, template, fill, quiet) {
  const rows = new Map([...list.children].map((row) => [Number(row.dataset.id), row]));
  const wanted = new Set(items.map((item) => item.id));
  for (const [id, row] of rows) if (!wanted.has(id)) leave(list, row);
  const many = items.filter((item) => !rows.has(item.id)).length > FEW;
  let next = list.firstElementChild;
  items.forEach((item, index) => {
    const known = rows.get(item.id);
    const row = known ?? clone(template);
    if (row === next) next = next.nextElementSibling;
    else list.insertBefore(row, next);
    show(row, item, index + 1, fill, quiet || many || (known && !filled.has(known))); // in its place: a tint begun outside never ends
  });
}

// Fills in a row, and tints it once if the job took a step since.
export function show(row, item, place, fill, quiet) {
  const before = filled.get(row);
  if (before && before[0] === item && before[1] === place) return;
  fill(row, item, place);
  filled.set(row, [item, place]);
  if (!quiet && before?.[0].revision !== item.revision && !stillness.matches) row.animate(TINT, 400);
}

// A row goes; whoever stood on it with the keyboard stands on its neighbour.
function leave(list, row) {
  const held = row.contains(document.activeElement);
  const neighbour = row.nextElementSibling ?? row.previousElementSibling;
  row.remove();
  if (held) (neighbour?.querySelector("a, button:not([hidden])") ?? list.closest("[tabindex]"))?.focus({ preventScroll: true });
}

export function fillJob(row, job, place) {
  row.dataset.id = job.id;
  row.dataset.state = job.state;
  row.dataset.revision = job.revision;
  row.querySelector(".pick")?.setAttribute("aria-label", `select job ${job.id}`);
  row.querySelector("use").setAttribute("href", `#shape-${job.state}`);
  const link = part(row, "link");
  link.setAttribute("href", link.getAttribute("href").replace(/[^/]*$/, job.id));
  for (const [name, text] of Object.entries(texts(job, place))) setText(part(row, name), text);
  fillProgress(row, job);
  tell(part(row, "time"), ...moment(job));
  toggleActions(row, job.state);
}

const texts = (job, place) => ({
  id: job.id,
  kind: job.kind,
  overdue: job.overdue ? "overdue" : "",
  tries: tries(job),
  note: note(job),
  preview: job.preview,
  eta: eta(job, place),
});

// How long it ran; or where a todo job stands and about when it starts: the server's estimate, scaled to the place it has moved up to.
function eta(job, place) {
  if (job.finished_at && job.started_at) return `took ${took(Date.parse(job.finished_at) - Date.parse(job.started_at))}`;
  if (job.state !== "todo" || !place) return "";
  const seconds = job.starts_in === null ? null : (job.starts_in * place) / (job.position || place);
  return seconds === null ? `#${place}` : `#${place} in ${Math.ceil(seconds)} s`;
}

export function fillProgress(root, job) {
  const bar = part(root, "progress");
  bar.hidden = job.state !== "running" || !job.progress;
  bar.value = job.progress?.fraction ?? 0;
  setText(part(root, "percent"), bar.hidden ? "" : percent(job.progress.fraction));
}

const ALLOWED = {
  cancel: ["todo", "running", "scheduled"],
  retry: ["failed", "cancelled"],
  run: ["scheduled"],
  forget: ["done", "failed", "cancelled"],
};

export const allows = (state, verb) => ALLOWED[verb].includes(state);

// Shows those buttons whose action the state allows; who stands on one that goes stands on the job's link, or its heading.
export function toggleActions(root, state) {
  const focused = document.activeElement; // asked for first: what is hidden has no focus
  for (const button of root.querySelectorAll("[data-do]")) {
    if (!(button.dataset.do in ALLOWED)) continue;
    button.hidden = !allows(state, button.dataset.do);
    if (button.hidden && button === focused) (part(root, "link") ?? root.querySelector("h1")).focus({ preventScroll: true });
  }
}

export function fillRejection(row, rejection) {
  row.dataset.id = rejection.id;
  setText(part(row, "id"), rejection.id);
  setText(part(row, "kind"), rejection.kind ?? "(no kind)");
  part(row, "faults").replaceChildren(...reasons(rejection).map(fault));
  tell(part(row, "time"), rejection.at);
}

function reasons(rejection) {
  const { kind, payload, reason, errors } = rejection;
  const found = faults(errors ?? {}, { kind, ...(payload === null ? {} : { payload }) });
  return found.length ? found : [{ path: "", message: reason, value: undefined }];
}

function fault({ path, message, value }) {
  const line = clone("fault");
  setText(part(line, "path"), path);
  setText(part(line, "message"), message);
  part(line, "value").hidden = value === undefined || value === null;
  setText(part(line, "value"), value === undefined ? "" : shown(value));
  return line;
}
