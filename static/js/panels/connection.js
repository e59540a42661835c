// Never silently stale: the connection in words, in the title, in the favicon.
import { setText, part } from "../page.js";
import { number, span } from "../words.js";

const ICONS = { connected: "connected", disconnected: "disconnected" };

function words({ word, age }) {
  if (word === "reconnecting") return `reconnecting · last heard ${span(age)} ago`;
  if (word === "disconnected") return `disconnected · last heard ${span(age)} ago`;
  return word;
}

function title(state, word) {
  const { running = 0, todo = 0 } = state.counts;
  const what = document.body.dataset.title ?? `${number(running)} running, ${number(todo)} todo`;
  return word === "connected" ? `${state.paused ? "paused: " : ""}${what} – webqueue` : `(${word}) webqueue`;
}

export function renderConnection(state, live) {
  const { word } = live;
  const { dataset } = document.body;
  if (dataset.connection !== word) dataset.connection = word;
  document.body.toggleAttribute("data-away", word === "reconnecting" || word === "disconnected");
  setText(part(document.getElementById("connection"), "words"), words(live));
  const wanted = title(state, word);
  if (document.title !== wanted) document.title = wanted;
  setIcon(word === "connected" && state.paused ? "paused" : ICONS[word] ?? "reconnecting");
}

function setIcon(name) {
  const icon = document.getElementById("favicon");
  const href = icon.getAttribute("href").replace(/[^/]*\.svg/, `${name}.svg`);
  if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
}
