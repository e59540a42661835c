// Said only while something is wrong. The lines are changed only where they differ: a reader hears each once.
import { clone, part, setText } from "../page.js";

export function renderWarnings(root, state) {
  const list = part(root, "list");
  const wanted = state.warnings.map((one) => one.message);
  const shown = [...list.children].map((line) => part(line, "message").textContent);
  if (wanted.length === shown.length && wanted.every((message, index) => message === shown[index])) return;
  list.replaceChildren(...wanted.map(line));
  list.hidden = !wanted.length;
}

function line(message) {
  const item = clone("warning");
  setText(part(item, "message"), message);
  return item;
}
