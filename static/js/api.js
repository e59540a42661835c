// The HTTP calls of this page: JSON in, JSON out, a refusal as an Error that carries the problem.
import { prefix } from "./page.js";

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.status = status;
    this.errors = problem.errors ?? null;
  }
}

// Resolves to the answer's JSON (null where there is none); raises Refused, or TypeError when nobody answers.
export async function call(method, path, body, headers = {}) {
  const response = await fetch(prefix + path, {
    method,
    headers: { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const told = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, told ?? {});
  return told;
}
