// Which list is looked at, kept in the address: one at a time where it is narrow, a tab below where it is wide.
const TABS = new Set(["done", "failed", "cancelled", "scheduled"]);
const VIEWS = new Set(["todo", "running", "rejected", ...TABS]);

export const tab = () => document.body.dataset.tab;

function go(view, changed) {
  if (!VIEWS.has(view)) return;
  const { dataset } = document.body;
  dataset.view = view;
  if (TABS.has(view)) dataset.tab = view;
  for (const link of document.querySelectorAll(".counts a, .tabs a")) mark(link, view);
  changed();
}

function mark(link, view) {
  const on = link.dataset.state === view || (link.closest(".tabs") && link.dataset.state === tab());
  if (on) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
}

export function followAddress(changed) {
  const here = () => go(location.hash.slice(1) || "todo", changed);
  addEventListener("hashchange", here);
  here();
}
