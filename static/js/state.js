// What this page knows of the queue: the newest revision of each job, and the order of those that wait.
const SHOWN = 100; // rows a list
const SLACK = 2 * SHOWN; // so many are known of a list before those behind the shown ones are let go
const BOUNDED = ["done", "failed", "cancelled", "scheduled"];

export class State {
  epoch = null;
  seq = 0;
  counts = {};
  paused = false;
  pausedQueues = {};
  warnings = [];
  draining = null;
  jobs = new Map();
  order = []; // ids of the todo jobs known to stand at the head, next first
  rejections = [];
  #ordered = new Map(); // by state its jobs in order, until one of them changes

  // Begins anew from the server's full picture. Returns whether the server was restarted in between.
  snapshot(body) {
    const restarted = this.epoch !== null && body.epoch !== this.epoch;
    const all = [...body.todo, ...body.scheduled, ...body.running, ...body.finished];
    this.jobs = new Map(all.map((job) => [job.id, same(this.jobs.get(job.id), job)]));
    this.order = body.todo.map((job) => job.id);
    this.#ordered.clear();
    const refused = new Map(this.rejections.map((one) => [one.id, one]));
    this.rejections = [];
    this.#refuse(body.rejections.map((one) => same(refused.get(one.id), one)));
    this.#stand(body);
    this.warn(body);
    return restarted;
  }

  // Takes in what changed. False: something before it is missing (or another epoch), nothing was taken in.
  changes(body) {
    if (body.epoch !== this.epoch || body.from > this.seq) return false;
    if (body.seq < this.seq) return true;
    const whole = this.order.length >= (this.counts.todo ?? 0);
    for (const job of body.jobs.sort(byPosition)) this.take(job, whole);
    for (const id of body.forgotten) this.#forget(id);
    this.#letGo();
    this.#refuse(body.rejections);
    this.#stand(body);
    this.progress(body.progress ?? {});
    return true;
  }

  // What is wrong now, and whether the server comes to its end.
  warn({ warnings, draining }) {
    this.warnings = warnings ?? [];
    this.draining = draining ?? null;
  }

  // Takes in one job, unless what is known is newer; *whole*: all that waited before it are known.
  take(job, whole = false) {
    const known = this.jobs.get(job.id);
    if (known && known.revision > job.revision) return;
    if (job.state !== "todo" && known?.state === "todo") this.order = this.order.filter((id) => id !== job.id);
    if (job.state !== "todo" || this.#enqueue(job, known, whole)) this.#put(job.id, job);
    else this.#put(job.id);
  }

  progress(news) {
    for (const [id, progress] of Object.entries(news)) {
      const job = this.jobs.get(Number(id));
      if (job?.state === "running") this.#put(job.id, { ...job, progress });
    }
  }

  // The rows of one list, in order, at most 100.
  list(state) {
    return this.#of(state).slice(0, SHOWN);
  }

  // How many pushes were refused since the store was made: their ids are counted from 1.
  get refused() {
    return this.rejections[0]?.id ?? 0;
  }

  // Whether the head of those that wait ran low while more wait behind it that were never told.
  get thin() {
    const low = (known, state) => known < Math.min(SHOWN / 2, this.counts[state] ?? 0);
    return low(this.order.length, "todo") || low(this.#of("scheduled").length, "scheduled");
  }

  // All that are known of one state, in order; sorted once between two changes of them, as often as it is asked for.
  #of(state) {
    if (!this.#ordered.has(state)) this.#ordered.set(state, this.#sorted(state));
    return this.#ordered.get(state);
  }

  #sorted(state) {
    if (state === "todo") return this.order.map((id) => this.jobs.get(id));
    return [...this.jobs.values()].filter((job) => job.state === state).sort(ORDER[state]);
  }

  // Notes a job, or that it is known no longer.
  #put(id, job) {
    this.#ordered.delete(this.jobs.get(id)?.state);
    this.#ordered.delete(job?.state);
    if (job) this.jobs.set(id, job);
    else this.jobs.delete(id);
  }

  // To the tail of its priority, or back to where it stood; behind a gap (jobs never told) it is only counted: false.
  #enqueue(job, known, whole) {
    if (known?.state === "todo") return true;
    const tail = 1 + this.order.findLastIndex((id) => this.jobs.get(id).priority >= job.priority);
    const at = known?.state === "running" ? Math.min(tail, job.position - 1) : tail;
    const told = whole || at < this.order.length;
    if (told) this.order.splice(at, 0, job.id);
    return told;
  }

  #refuse(fresh) {
    const all = new Map([...this.rejections, ...fresh].map((one) => [one.id, one]));
    this.rejections = [...all.values()].sort((a, b) => b.id - a.id).slice(0, SHOWN);
  }

  #forget(id) {
    this.order = this.order.filter((other) => other !== id);
    this.#put(id);
  }

  // Keeps what is known within bounds, whatever comes: the first of each list.
  #letGo() {
    for (const id of this.order.splice(SLACK)) this.#put(id);
    for (const state of BOUNDED) {
      const held = this.#of(state);
      if (held.length > SLACK) for (const job of held.slice(SHOWN)) this.#put(job.id);
    }
  }

  #stand(body) {
    this.epoch = body.epoch;
    this.seq = body.seq;
    this.counts = body.counts;
    this.paused = body.paused;
    this.pausedQueues = body.paused_queues ?? {};
  }
}

// What is known, where what is told of it is the same: then its row need not be filled in again.
const same = (known, told) => (known?.revision === told.revision && JSON.stringify(known) === JSON.stringify(told) ? known : told);
const byPosition = (a, b) => (a.position ?? 0) - (b.position ?? 0) || a.id - b.id;
const NEVER = "9"; // sorts behind every time: who waits for other jobs has none
const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0); // not localeCompare: ISO times need none of it, and it is slow
const byTime = (field, sign) => (a, b) => sign * compare(a[field] ?? NEVER, b[field] ?? NEVER) || sign * (a.id - b.id);
const ORDER = {
  running: byTime("started_at", 1),
  scheduled: byTime("run_at", 1),
  done: byTime("finished_at", -1),
  failed: byTime("finished_at", -1),
  cancelled: byTime("finished_at", -1),
};
