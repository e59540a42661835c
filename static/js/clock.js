// Times that tick without traffic, by the server's clock: relative, local or UTC, as one chose. The title always has the date.
import { setText } from "./page.js";
import { span } from "./words.js";

const TICK = 1000;
const STORED = "webqueue.times";
const WAYS = ["relative", "local", "UTC"];
let offset = 0;
let way = stored();

// The server's time now, in ms since 1970.
export const now = () => Date.now() + offset;

// Learns the server's clock from an answer's Date header; it has whole seconds, so only a real difference counts.
export function learn(response, sentAt) {
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (Number.isNaN(date)) return;
  const difference = date + 500 - (sentAt + Date.now()) / 2;
  offset = Math.abs(difference) < 2000 ? 0 : difference;
  wordAll();
}

// A moment on the clock: the date only where it is not today's, the zone only where it is UTC.
export function clock(iso) {
  const day = (text) => text.slice(0, 10);
  const time = shifted(Date.parse(iso));
  const date = day(time) === day(shifted(now())) ? "" : `${day(time)} `;
  return `${date}${time.slice(11, 19)}${way === "UTC" ? " UTC" : ""}`;
}

// ISO 8601 in the zone that is shown, whatever the browser's language.
function shifted(time) {
  const zone = way === "UTC" ? 0 : new Date(time).getTimezoneOffset();
  return new Date(time - zone * 60000).toISOString();
}

function worded(iso, as) {
  const seconds = (now() - Date.parse(iso)) / 1000;
  if (as === "clock" || way !== "relative") return clock(iso);
  if (as === "since") return span(seconds);
  if (as === "until") return seconds < 0 ? `in ${span(-seconds)}` : "due";
  return seconds < 2 ? "now" : `${span(seconds)} ago`;
}

// Puts one <time datetime data-as> into words.
export function word(element) {
  if (element.dateTime) setText(element, worded(element.dateTime, element.dataset.as));
}

function wordAll() {
  for (const element of document.querySelectorAll("time[datetime]")) word(element);
}

// Sets which moment a <time> tells; null empties it.
export function tell(element, iso, as = "ago") {
  if (!iso) {
    element.removeAttribute("datetime");
    element.removeAttribute("title");
    return setText(element, "");
  }
  if (element.dateTime !== iso || element.dataset.as !== as) {
    element.dateTime = iso;
    element.dataset.as = as;
    element.title = `${new Date(iso).toLocaleString()} (${iso})`;
  }
  word(element);
}

// Calls back each second while the page is looked at, after all times were put into words. A hidden page has no timer.
export function tick(callback) {
  let timer = 0;
  const step = () => {
    wordAll();
    callback?.();
  };
  const turn = () => {
    clearInterval(timer);
    if (document.hidden) return;
    timer = setInterval(step, TICK);
    step();
  };
  document.addEventListener("visibilitychange", turn);
  turn();
}

// -- which way: the button beside the theme's, the same in all pages

// Where nothing may be stored the choice lasts as long as the page.
function stored() {
  try { return known(localStorage.getItem(STORED)); } catch { return WAYS[0]; }
}

function known(name) {
  return WAYS.includes(name) ? name : WAYS[0];
}

function choose(name) {
  show(name);
  try { localStorage.setItem(STORED, name); } catch { /* see above */ }
}

function show(name) {
  way = known(name);
  for (const words of document.querySelectorAll('[data-do="times"] [data-f="way"]')) setText(words, way);
  wordAll();
}

addEventListener("storage", (event) => event.key === STORED && show(event.newValue));
document.addEventListener("click", (event) => {
  if (event.target.closest('[data-do="times"]')) choose(WAYS[(WAYS.indexOf(way) + 1) % WAYS.length]);
});
show(way);
