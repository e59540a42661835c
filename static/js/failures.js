// The page of failures stays as it was loaded; it says how many came since.
import { tick } from "./clock.js";
import { Live } from "./live.js";
import { part, setText } from "./page.js";
import { renderConnection } from "./panels/connection.js";
import { State } from "./state.js";
import { number } from "./words.js";
import "./actions.js";

const root = document.getElementById("failures");
const state = new State();
const since = root.dataset.at;
const MOST = 100; // so many of the newest a snapshot tells
const seen = new Set(); // ids of those that failed since

function render() {
  for (const job of state.list("failed")) if (seen.size < MOST && job.finished_at > since) seen.add(job.id);
  part(root, "fresh").hidden = seen.size === 0;
  const many = seen.size === 1 ? "1 more failure" : `${number(seen.size)}${seen.size < MOST ? "" : " or more"} more failures`;
  setText(part(root, "fresh-words"), seen.size ? `${many} since,` : "");
  renderConnection(state, live);
}

const live = new Live(state, {
  onChange: render,
  onWord: (now) => renderConnection(state, now),
});
tick(() => live.tick());
