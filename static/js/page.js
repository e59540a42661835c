// What the template told this page: where the server lies.
const told = document.querySelector('meta[name="webqueue"]').dataset;

export const prefix = told.prefix;
export const socketPath = told.socketPath;
export const server = told.server;

// Sets a text only where it differs, so that a selection in it and the layout survive.
export function setText(element, text) {
  const wanted = String(text ?? "");
  if (element.textContent !== wanted) element.textContent = wanted;
}

// The element under root that carries data-f="name".
export const part = (root, name) => root.querySelector(`[data-f="${name}"]`);

// A fresh copy of what a <template> holds.
export const clone = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

export const stillness = matchMedia("(prefers-reduced-motion: reduce)");
