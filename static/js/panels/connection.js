// Never silently stale: the connection in words, in the title, in the favicon; a restart also in a note.
import { tell } from "../clock.js";
import { setText, part } from "../page.js";
import { number, span } from "../words.js";

const AGED = new Set(["reconnecting", "offline", "disconnected"]);
const STALE = new Set([...AGED, "resyncing"]);

function title(state, { word, restarted }) {
  if (word !== "connected") return `(${word}) webqueue`;
  const { running = 0, todo = 0 } = state.counts;
  const what = document.body.dataset.title ?? `${number(running)} running, ${number(todo)} todo`;
  return `${restarted ? "(restarted) " : ""}${state.paused ? "paused: " : ""}${what} – webqueue`;
}

function icon(state, { word, restarted }) {
  if (word !== "connected") return word === "connecting" ? "reconnecting" : word;
  return restarted ? "restarted" : state.paused ? "paused" : "connected";
}

export function renderConnection(state, live) {
  const { word } = live;
  const { dataset } = document.body;
  if (dataset.connection !== word) dataset.connection = word;
  document.body.toggleAttribute("data-away", STALE.has(word));
  const line = document.getElementById("connection");
  setText(part(line, "words"), word);
  setText(part(line, "age"), AGED.has(word) ? ` · last heard ${span(live.age)} ago` : "");
  const wanted = title(state, live);
  if (document.title !== wanted) document.title = wanted;
  setIcon(icon(state, live));
  renderRestart(document.getElementById("restarted"), live);
}

function renderRestart(root, live) {
  const note = part(root, "note");
  note.hidden = !live.restarted;
  document.body.toggleAttribute("data-restarted", !note.hidden);
  if (note.hidden) return;
  tell(part(note, "time"), live.restarted, "clock");
  note.querySelector("button").onclick = () => live.read();
}

function setIcon(name) {
  const icon = document.getElementById("favicon");
  const href = icon.getAttribute("href").replace(/[^/]*\.svg/, `${name}.svg`);
  if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
}
