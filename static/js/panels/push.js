// The form that pushes a job of any kind, beside the lists; it also opens filled in, to fix a rejection.
import { act } from "../actions.js";
import { call } from "../api.js";
import { part, prefix, server, setText } from "../page.js";
import { buildFields, hasFields, readFields, selfCheck, showFaults, writeFields } from "../schemaform.js";
import { faults, quoted } from "../words.js";

const OPTIONS = {
  properties: {
    queue: { type: "string", maxLength: 200 },
    priority: { type: "integer", description: "higher starts first" },
    delay: { type: "number", minimum: 0, description: "seconds until it is due" },
    max_attempts: { type: "integer", minimum: 1, maximum: 1000 },
    timeout: { type: "number", exclusiveMinimum: 0, description: "seconds" },
    unique_key: { type: "string", maxLength: 1000, description: "while one with this key is active, it is given back instead" },
  },
};

export class PushForm {
  constructor(root) {
    this.root = root;
    this.form = root.querySelector("form");
    this.kinds = JSON.parse(root.dataset.kinds);
    this.select = root.querySelector("#push-kind");
    this.raw = root.querySelector("#push-raw");
    this.json = root.querySelector("#push-json");
    buildFields(part(root, "options"), OPTIONS);
    this.#choose();
    this.form.addEventListener("submit", (event) => this.#submit(event));
    this.form.addEventListener("input", () => this.#written());
    this.select.addEventListener("change", () => this.#choose());
    this.raw.addEventListener("change", () => this.#toggle());
  }

  open(opener) {
    this.opener = opener ?? this.opener;
    this.#visible(true);
    (this.raw.checked ? this.json : this.select).focus();
  }

  close() {
    this.#visible(false);
    this.opener?.focus();
  }

  // Opens with a rejected push filled in and its faults beside the fields.
  fix({ kind, payload, errors }, opener) {
    const known = this.kinds.some((one) => one.kind === kind);
    this.select.value = known ? kind : this.#meant(errors) ?? this.kinds[0]?.kind;
    this.#choose();
    this.#fill(payload);
    this.open(opener);
    this.#blame(faults(errors ?? {}, {}));
  }

  // The push as it stands in the form. Raises SyntaxError for what is not JSON.
  body() {
    const payload = this.raw.checked ? JSON.parse(this.json.value) : readFields(part(this.root, "payload"));
    return { kind: this.select.value, payload, ...readFields(part(this.root, "options")) };
  }

  // An unknown kind: the one that the server's message names, if it does.
  #meant(errors) {
    const text = JSON.stringify(errors?.kind ?? "");
    return this.kinds.map((one) => one.kind).find((kind) => text.includes(kind));
  }

  #fill(payload) {
    const whole = payload !== null && typeof payload === "object" && !Array.isArray(payload);
    this.json.value = typeof payload === "string" ? payload : JSON.stringify(payload ?? {}, null, 2);
    const fits = whole && writeFields(part(this.root, "payload"), payload);
    this.#mode(!fits || !hasFields(this.schema));
    this.#written();
  }

  #choose() {
    const chosen = this.kinds.find((one) => one.kind === this.select.value);
    this.schema = chosen?.schema ?? {};
    setText(part(this.root, "doc"), chosen?.doc ?? "");
    buildFields(part(this.root, "payload"), this.schema);
    this.#mode(this.prefersRaw || !hasFields(this.schema));
    this.#blame([]);
    this.#written();
  }

  #toggle() {
    this.prefersRaw = this.raw.checked;
    if (this.raw.checked) this.json.value = JSON.stringify(readFields(part(this.root, "payload")), null, 2);
    else this.#carry();
    this.#mode(this.raw.checked || !hasFields(this.schema));
    this.#written();
  }

  #carry() {
    try {
      writeFields(part(this.root, "payload"), JSON.parse(this.json.value));
    } catch { /* what is not JSON stays in the editor */ }
  }

  #mode(raw) {
    this.raw.checked = raw;
    part(this.root, "payload").hidden = raw;
    part(this.root, "raw").hidden = !raw;
  }

  #written() {
    try {
      setText(part(this.root, "curl"), `curl ${server}/push-job -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(this.body()))}`);
    } catch {
      setText(part(this.root, "curl"), "(the JSON above is not complete)");
    }
  }

  // Faults beside their fields, the rest in one line.
  #blame(found) {
    const rest = showFaults(this.form, found);
    const line = part(this.root, "problem");
    line.hidden = !rest.length;
    setText(line, rest.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join(" "));
    this.form.querySelector("[aria-invalid]")?.focus();
  }

  async #submit(event) {
    event.preventDefault();
    part(this.root, "pushed").hidden = true;
    const found = this.raw.checked ? [] : selfCheck(this.form);
    if (found.length) return this.#blame(found);
    try {
      this.#pushed(await call("POST", "/push-job", this.body()));
    } catch (error) {
      this.#blame(this.#reasons(error));
    }
  }

  #reasons(error) {
    if (error instanceof SyntaxError) return [{ path: "payload", message: `This is not JSON: ${error.message}` }];
    const found = error.errors ? faults(error.errors, {}) : [];
    return found.length ? found : [{ path: "", message: error.status ? error.message : "The server does not answer; not known to be accepted." }];
  }

  #pushed(job) {
    this.#blame([]);
    const line = part(this.root, "pushed");
    const link = Object.assign(document.createElement("a"), { className: "link", href: `${prefix}/jobs/${job.id}`, textContent: `job ${job.id}` });
    line.replaceChildren(job.duplicate ? "Already there: " : "Accepted: ", link);
    line.hidden = false;
  }

  #visible(on) {
    this.root.hidden = !on;
    document.getElementById("work").toggleAttribute("data-pushing", on);
    document.querySelector('[data-do="open-push"]').setAttribute("aria-expanded", String(on));
  }
}

// Sets up the form where the viewer may push; *rejection* finds one by its id.
export function setUpPush(root, rejection) {
  if (!root) return;
  const form = new PushForm(root);
  act({
    "open-push": (button) => (root.hidden ? form.open(button) : form.close()),
    "close-push": () => root.hidden || form.close(),
    fix: (button) => form.fix(rejection(Number(button.closest("[data-id]").dataset.id)), button),
  });
}
