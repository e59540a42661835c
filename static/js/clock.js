// Times that tick without traffic, by the server's clock.
import { setText } from "./page.js";
import { span } from "./words.js";

const TICK = 1000;
let offset = 0;

// The server's time now, in ms since 1970.
export const now = () => Date.now() + offset;

// Learns the server's clock from an answer's Date header; it has whole seconds, so only a real difference counts.
export function learn(response, sentAt) {
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (Number.isNaN(date)) return;
  const difference = date + 500 - (sentAt + Date.now()) / 2;
  offset = Math.abs(difference) < 2000 ? 0 : difference;
}

function worded(time, as) {
  const seconds = (now() - time) / 1000;
  if (as === "clock") return new Date(time).toLocaleTimeString();
  if (as === "since") return span(seconds);
  if (as === "until") return seconds < 0 ? `in ${span(-seconds)}` : "due";
  return seconds < 2 ? "now" : `${span(seconds)} ago`;
}

// Puts one <time datetime data-as> into words.
export function word(element) {
  if (element.dateTime) setText(element, worded(Date.parse(element.dateTime), element.dataset.as));
}

// Sets which moment a <time> tells; null empties it.
export function tell(element, iso, as = "ago") {
  if (!iso) {
    element.removeAttribute("datetime");
    return setText(element, "");
  }
  if (element.dateTime !== iso || element.dataset.as !== as) {
    element.dateTime = iso;
    element.dataset.as = as;
    element.title = `${new Date(iso).toLocaleString()} (${iso})`;
  }
  word(element);
}

// Calls back each second while the page is looked at, after all times were put into words.
export function tick(callback) {
  const step = () => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("time[datetime]")) word(element);
    callback?.();
  };
  setInterval(step, TICK);
  document.addEventListener("visibilitychange", step);
  step();
}
