// A job's own page: follows the job, and says each of its steps as it comes.
import { call } from "./api.js";
import { tell, tick } from "./clock.js";
import { Live } from "./live.js";
import { clone, part, setText } from "./page.js";
import { renderConnection } from "./panels/connection.js";
import { fillProgress, toggleActions } from "./rows.js";
import { say } from "./say.js";
import { State } from "./state.js";
import { cancelledBy, FINISHED, steps } from "./timeline.js";
import { note, took } from "./words.js";
import "./actions.js";

const KEPT = 2000; // log lines in the document
const HIDDEN = "•••";

const root = document.getElementById("job");
const id = Number(root.dataset.id);
const state = new State();
let job = null;
let follows = false; // whether this connection has told how the job stands
let fresh = null; // log lines told since this page follows, until it has read the stored ones
let ahead = []; // those of the stored ones that may still be told: an event is slower than a reading
let reading = Promise.resolve(); // one reading of the log after the other

const secret = new Set(JSON.parse(root.dataset.secret));
const secretNames = new RegExp(root.dataset.secretNames, "i");

// What a result may show: twin of redaction.py. The payload never changes: it stands as the server wrote it.
const hide = (key, value) => (secret.has(key) || (key !== "" && secretNames.test(key)) ? HIDDEN : value);
const pretty = (value) => JSON.stringify(value, hide, 2);

function facts() {
  return {
    kind: job.kind,
    state: job.overdue ? `${job.state}, overdue` : job.state,
    note: note(job),
    queue: job.queue,
    priority: job.priority,
    attempt: `${job.attempt} of ${job.max_attempts}`,
    "time limit": job.timeout ? `${job.timeout} s` : "none",
    crashes: job.crashes,
    "unique key": job.unique_key ?? "none",
    revision: job.revision,
    result: pretty(job.result),
  };
}

function render(news) {
  if (job && news.revision < job.revision) return;
  const ended = job && !FINISHED.includes(job.state) && FINISHED.includes(news.state);
  job = news;
  if (ended) readLater();
  Object.assign(root.dataset, { state: job.state, revision: job.revision });
  root.querySelector(".head use").setAttribute("href", `#shape-${job.state}`);
  for (const [name, text] of Object.entries(facts())) setText(part(root, name), text);
  part(root, "result-block").hidden = job.state !== "done";
  document.body.dataset.title = `${job.id} ${job.kind}: ${job.state}`;
  fillProgress(root, job);
  toggleActions(root, job.state);
  renderTimeline();
  renderAttempts();
  renderWho();
  renderConnection(state, live);
}

function renderTimeline() {
  const list = part(root, "timeline");
  const wanted = steps(job);
  while (list.childElementCount > wanted.length) list.lastElementChild.remove();
  while (list.childElementCount < wanted.length) list.append(clone("step"));
  wanted.forEach((step, index) => fillStep(list.children[index], step));
}

function fillStep(item, { name, at, words, as }) {
  item.dataset.step = name;
  setText(part(item, "name"), name);
  tell(part(item, "time"), at, as);
  setText(part(item, "words"), words);
}

// Who cancelled it stands in its log, as the store noted it.
function renderWho() {
  if (!job) return; // then the server's word stands
  const lines = [...root.querySelectorAll(".log li")].map((line) => ({ at: part(line, "time").dateTime, message: part(line, "message").textContent }));
  setText(part(root, "by"), cancelledBy(job, lines));
}

function renderAttempts() {
  const list = part(root, "attempts");
  if (list.dataset.shown === String(job.revision)) return;
  list.dataset.shown = job.revision;
  list.replaceChildren(...job.history.map(attempt));
}

function attempt(one) {
  const item = clone("attempt");
  const look = one.outcome === "timeout" ? "failed" : one.outcome;
  item.dataset.state = look;
  item.querySelector("use").setAttribute("href", `#shape-${look}`);
  setText(part(item, "title"), `attempt ${one.attempt}: ${one.outcome}`);
  tell(part(item, "time"), one.ended_at);
  setText(part(item, "took"), `took ${took(Date.parse(one.ended_at) - Date.parse(one.started_at))}`);
  setText(part(item, "error"), one.error ? `${one.error.type}: ${one.error.message}` : "");
  setText(part(item, "traceback"), one.error?.traceback);
  item.querySelector("details").hidden = !one.error?.traceback;
  return item;
}

// What was logged while this page was away, or before it followed, was told to nobody: the stored log has it. Only the
// newest lines may not be stored yet, and those come as events: the two overlap.
function readLater() {
  reading = reading.then(readLog).catch(() => {});
}

async function readLog() {
  const stored = [];
  for (let cursor = 0; cursor !== null; ) {
    const { lines, next } = await call("GET", `/jobs/${id}/log?limit=1000&cursor=${cursor}`);
    stored.push(...lines);
    cursor = next;
  }
  const told = FINISHED.includes(job.state) ? [] : (fresh ?? []);
  fresh = null;
  ahead = stored;
  part(root, "log").replaceChildren();
  append(stored.concat(unread(told)).slice(-KEPT));
}

// Of lines that are told, in order, those that were not read from the store before.
function unread(lines) {
  return lines.filter((line) => {
    const at = ahead.findIndex((other) => isSame(line, other));
    ahead = at < 0 ? [] : ahead.slice(at + 1);
    return at < 0;
  });
}

function isSame(line, other) {
  return line.at === other.at && line.level === other.level && line.message === other.message;
}

function append(lines) {
  const log = part(root, "log");
  const scroll = log.parentElement;
  const low = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 24;
  log.append(...lines.map(logLine));
  while (log.childElementCount > KEPT) log.firstElementChild.remove();
  if (low) scroll.scrollTop = scroll.scrollHeight;
  renderWho();
}

function logLine(line) {
  const item = clone("log-line");
  item.dataset.level = line.level;
  tell(part(item, "time"), line.at, "clock");
  setText(part(item, "level"), line.level);
  setText(part(item, "message"), line.message);
  return item;
}

async function follow() {
  fresh = [];
  follows = false;
  const { status, body } = await live.ask("follow", { id });
  follows = true;
  if (status === 200) {
    render(body);
    return readLater();
  }
  say(status === 404 ? "This job is no longer there: it was deleted, or forgotten by its age." : "The server does not let this page follow the job.", true);
  renderConnection(state, live);
}

const live = new Live(state, {
  onChange: () => {},
  onWord: (now) => (now.word === "connected" && !follows) || renderConnection(state, now), // not before the job
});
live.socket.on("connect", () => follow().catch(() => live.socket.connected && live.resync(false))); // no answer: once more
live.socket.on("job", (news) => {
  if (news.job.id !== id) return;
  fresh?.push(...news.log);
  append(unread(news.log));
  render(news.job);
});
tick(() => live.tick());
