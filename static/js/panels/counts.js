// The top strip: exact counts, and beside each what one asks next (how old, how busy, when, how fast).
import { now } from "../clock.js";
import { part, setText } from "../page.js";
import { number, span } from "../words.js";

const MINUTE = 60000;

// Done jobs per minute over the last minute, as far as the newest hundred reach back.
function rate(done) {
  const ages = done.map((job) => now() - Date.parse(job.finished_at)).filter((age) => age < MINUTE);
  if (!ages.length) return "";
  const reach = ages.length < done.length || ages.length < 100 ? MINUTE : Math.max(...ages, 1);
  return `${number(Math.round((ages.length * MINUTE) / reach))}/min`;
}

const since = (iso) => span((now() - Date.parse(iso)) / 1000);

function oldest(jobs) {
  return jobs.length ? `oldest ${since(jobs.map((job) => job.created_at).reduce((a, b) => (a < b ? a : b)))}` : "";
}

function next(jobs) {
  return jobs[0]?.run_at ? `next in ${span((Date.parse(jobs[0].run_at) - now()) / 1000)}` : "";
}

const ASIDES = {
  todo: (state) => (state.paused ? "paused" : oldest(state.list("todo"))),
  running: (state) => (state.list("running").some((job) => job.overdue) ? "overdue" : ""),
  rejected: (state) => (state.rejections.length ? `last ${since(state.rejections[0].at)} ago` : ""),
  scheduled: (state) => next(state.list("scheduled")),
  done: (state) => rate(state.list("done")),
  failed: (state) => (state.list("failed").length ? `last ${since(state.list("failed")[0].finished_at)} ago` : ""),
  cancelled: () => "",
};

export function renderCounts(root, state) {
  for (const link of root.querySelectorAll("a[data-state]")) {
    const name = link.dataset.state;
    const n = name === "rejected" ? state.refused : state.counts[name] ?? 0;
    const shown = part(link, "number");
    setText(shown, number(n));
    shown.toggleAttribute("data-zero", !n);
    setText(part(link, "aside"), ASIDES[name](state));
  }
}

// One sentence for those who listen.
export function summary({ counts, refused }) {
  return `${number(counts.todo)} todo, ${number(counts.running)} running, ${number(counts.done)} done, ${number(counts.failed)} failed, ${number(refused)} rejected`;
}
