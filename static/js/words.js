// How numbers, spans of time, jobs and faults are put into words. Twin of templates/macros.html.
const group = new Intl.NumberFormat("en");

export const number = (n) => group.format(n ?? 0);

// A span of seconds in at most two units: 0 s, 59 s, 3 min, 2 h 5 min, 4 d.
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d`;
}

// The time an attempt took, finer than span: 12 ms, 1.5 s.
export function took(ms) {
  return ms < 1000 ? `${Math.max(0, Math.round(ms))} ms` : ms < 10000 ? `${(ms / 1000).toFixed(1)} s` : span(ms / 1000);
}

export const percent = (fraction) => `${Math.round(fraction * 100)} %`;

// What there is to say of a job in a few words.
export function note(job) {
  if (job.state === "todo" || job.waiting_for) return job.waiting_for ?? "";
  if (job.state === "running") return job.progress?.message ?? "";
  return job.error ? `${job.error.type}: ${job.error.message}` : "";
}

export const tries = (job) => (job.attempt > 1 ? `attempt ${job.attempt} of ${job.max_attempts}` : "");

// Which moment of a job is shown, and how: counting up, down, or as an age.
export function moment(job) {
  if (job.state === "running") return [job.started_at, "since"];
  if (job.state === "scheduled") return [job.run_at, "until"];
  return job.state === "todo" ? [null, "ago"] : [job.finished_at, "ago"];
}

// The faults of a push as [{path, message, value}]; errors nested as the request is, value beside them.
export function faults(errors, value, path = "") {
  if (errors === null || typeof errors !== "object" || Array.isArray(errors)) {
    return [errors].flat().map((message) => ({ path, message: String(message), value }));
  }
  return Object.entries(errors).flatMap(([key, below]) => {
    const inside = value !== null && typeof value === "object" && Object.hasOwn(value, key) ? value[key] : undefined;
    return faults(below, inside, path === "" || path === "payload" ? key : `${path}.${key}`);
  });
}

// A value as it stood in the payload, shortened.
export function shown(value) {
  const text = JSON.stringify(value) ?? "";
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

// Quotes a text for a POSIX shell.
export const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
