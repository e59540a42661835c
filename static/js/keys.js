// Keys: p push, 1..7 the lists, Escape closes. Off while somebody types.
const LISTS = ["todo", "running", "rejected", "scheduled", "done", "failed", "cancelled"];
const TYPING = "input, textarea, select, [contenteditable]";

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return document.querySelector('[data-do="close-push"]')?.click();
  if (event.target.closest(TYPING) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "p") {
    event.preventDefault();
    document.querySelector('[data-do="open-push"]')?.click();
  }
  const list = LISTS[Number(event.key) - 1];
  if (list) location.hash = list;
});
