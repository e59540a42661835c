// What became of a job, step by step. Twin of webqueue/timeline.py.
import { took } from "./words.js";

const SHOWN = 10; // so many of the newest attempts are told
export const FINISHED = ["done", "failed", "cancelled"];

const between = (from, to) => took(Date.parse(to) - Date.parse(from));

// [{name, at, words, as}], in order; *as* is how the moment is told, see clock.js.
export function steps(job) {
  const told = [{ name: "pushed", at: job.created_at, words: "", as: "ago" }];
  let since = job.created_at;
  for (const one of job.history.slice(0, SHOWN).reverse()) {
    const words = `waited ${between(since, one.started_at)}, ran ${between(one.started_at, one.ended_at)}: ${one.outcome}`;
    told.push({ name: `attempt ${one.attempt}`, at: one.started_at, words, as: "ago" });
    since = one.ended_at;
  }
  return told.concat(now(job, since));
}

// What it does since its last step, if it is not waiting for others.
function now(job, since) {
  if (job.state === "running") return [{ name: `attempt ${job.attempt}`, at: job.started_at, words: `waited ${between(since, job.started_at)}, runs`, as: "since" }];
  if (job.state === "scheduled") return job.run_at ? [{ name: "due", at: job.run_at, words: "", as: "until" }] : [];
  if (FINISHED.includes(job.state)) return [{ name: job.state, at: job.finished_at, words: `${between(job.created_at, job.finished_at)} in all`, as: "ago" }];
  return [{ name: "waits since", at: job.run_at > since ? job.run_at : since, words: "", as: "since" }];
}

// Who cancelled it, or asked it to stop, since it last began, of its log's [{at, message}]; what was said before a retry
// counts no more.
export function cancelledBy(job, lines) {
  if (!["cancelled", "running"].includes(job.state)) return "";
  const since = job.started_at ?? job.finished_at;
  return lines.findLast(({ at, message }) => message.startsWith("cancelled by ") && at >= since)?.message ?? "";
}
