// The one question that is asked: whether to destroy. The page behind it stays live.
import { part, setText } from "./page.js";

const dialog = document.getElementById("confirm");

// Resolves to whether the viewer says yes; Escape is no.
export function sure(question) {
  setText(part(dialog, "question"), question);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((settle) => dialog.addEventListener("close", () => settle(dialog.returnValue === "yes"), { once: true }));
}
