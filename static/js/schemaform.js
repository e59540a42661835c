// A form made from a JSON Schema: one field a property, nested objects as groups, what has no control as JSON.
const CONTROLS = { email: "email", uri: "url", url: "url", date: "date", time: "time" };
const LONG = 200; // characters from which a text gets more than a line
let serial = 0;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// The schema itself, or what it refers to, or its part that is not null.
function plain(schema, root) {
  const target = schema.$ref?.startsWith("#/") && schema.$ref.slice(2).split("/").reduce((at, key) => at?.[key], root);
  if (target) return plain({ ...target, ...schema, $ref: undefined }, root);
  const choices = (schema.anyOf ?? schema.oneOf ?? []).filter((one) => one.type !== "null");
  return choices.length === 1 ? plain({ ...schema, ...choices[0], anyOf: undefined, oneOf: undefined }, root) : schema;
}

const typeOf = (schema) => [schema.type].flat().find((type) => type !== "null") ?? (schema.enum ? "string" : "any");

// Whether a schema has properties that fields can be made of.
export const hasFields = (schema) => Object.keys(schema?.properties ?? {}).length > 0;

export function buildFields(container, schema, root = schema, path = []) {
  const required = new Set(schema.required ?? []);
  container.replaceChildren(
    ...Object.entries(schema.properties ?? {}).map(([name, below]) => field([...path, name], plain(below, root), required.has(name), root)),
  );
}

function field(path, schema, required, root) {
  return typeOf(schema) === "object" && hasFields(schema) ? fieldset(path, schema, root) : line(path, schema, required);
}

function fieldset(path, schema, root) {
  const inner = element("div", { className: "fields" });
  buildFields(inner, schema, root, path);
  return element("fieldset", {}, element("legend", { textContent: path.at(-1) }), inner, problem(path));
}

function line(path, schema, required) {
  const id = `field-${++serial}`;
  const input = control(schema, required);
  Object.assign(input, { id, required: required && input.type !== "checkbox" });
  input.dataset.path = JSON.stringify(path);
  input.setAttribute("aria-describedby", `${id}-help ${id}-problem`);
  const label = element("label", { htmlFor: id }, schema.title ?? path.at(-1), required ? mark() : "");
  const help = element("p", { id: `${id}-help`, className: "help", textContent: hint(schema) });
  const wrong = Object.assign(problem(path), { id: `${id}-problem` });
  return element("div", { className: input.type === "checkbox" ? "field check" : "field" }, label, input, help, wrong);
}

const mark = () => element("span", { className: "required", title: "required", textContent: " *" });

function problem(path) {
  const wrong = element("p", { className: "problem", hidden: true });
  wrong.dataset.error = path.join(".");
  return wrong;
}

// What a person should know before typing: the description, the range, the length, the default.
function hint(schema) {
  const [low, high] = [schema.minimum ?? schema.exclusiveMinimum, schema.maximum ?? schema.exclusiveMaximum];
  const range = low !== undefined && high !== undefined ? `${low} to ${high}` : low !== undefined ? `${schema.minimum === undefined ? "above" : "at least"} ${low}` : high !== undefined ? `${schema.maximum === undefined ? "below" : "at most"} ${high}` : "";
  const size = schema.maxLength ? `${schema.minLength ? `${schema.minLength} to ` : "at most "}${schema.maxLength} characters` : "";
  const json = ["object", "array", "any"].includes(typeOf(schema)) && !schema.enum ? "as JSON" : "";
  const fallback = schema.default === undefined || schema.default === null ? "" : `default ${JSON.stringify(schema.default)}`;
  return [schema.description, range, size, json, fallback].filter(Boolean).join("; ");
}

function control(schema, required) {
  const type = typeOf(schema);
  if (schema.enum) return choice(schema.enum, schema.default, required);
  if (type === "boolean") return required || typeof schema.default === "boolean" ? element("input", { type: "checkbox", checked: schema.default === true }) : choice([true, false], undefined, false);
  const input = type === "integer" || type === "number" ? numeric(schema, type) : type === "string" ? textual(schema) : element("textarea", { rows: 2, spellcheck: false });
  input.dataset.type = type;
  input.autocomplete = "off";
  if (schema.default !== undefined && schema.default !== null) input.placeholder = type === "string" ? schema.default : JSON.stringify(schema.default);
  return input;
}

function numeric(schema, type) {
  const input = element("input", { type: "number", step: type === "integer" ? "1" : "any" });
  if (schema.minimum !== undefined) input.min = schema.minimum;
  if (schema.maximum !== undefined) input.max = schema.maximum;
  return input;
}

function textual(schema) {
  const input = (schema.maxLength ?? 0) > LONG ? element("textarea", { rows: 3 }) : element("input", { type: CONTROLS[schema.format] ?? "text" });
  if (schema.format === "date-time") input.placeholder = "2030-01-01T12:00:00Z";
  if (schema.maxLength !== undefined) input.maxLength = schema.maxLength;
  if (schema.minLength) input.minLength = schema.minLength;
  if (schema.pattern && input.tagName === "INPUT") input.pattern = schema.pattern;
  return input;
}

function choice(values, chosen, required) {
  const options = values.map((value) => element("option", { value: JSON.stringify(value), textContent: String(value), selected: value === chosen }));
  const none = required || chosen !== undefined ? [] : [element("option", { value: "", textContent: "" })];
  const select = element("select", {}, ...none, ...options);
  select.dataset.type = "json";
  return select;
}

const inputs = (container) => [...container.querySelectorAll("[data-path]")];
const pathOf = (input) => JSON.parse(input.dataset.path);

// The object that the fields say; what was left empty is left out. Raises SyntaxError for a field whose JSON is not.
export function readFields(container) {
  const payload = {};
  for (const input of inputs(container)) {
    const value = valueOf(input);
    if (value !== undefined) put(payload, pathOf(input), value);
  }
  return payload;
}

function valueOf(input) {
  if (input.type === "checkbox") return input.checked;
  if (input.value === "") return input.required && input.dataset.type === "string" ? "" : undefined;
  if (input.dataset.type === "string") return input.value;
  return ["integer", "number"].includes(input.dataset.type) ? Number(input.value) : parsed(input);
}

function parsed(input) {
  try {
    return JSON.parse(input.value);
  } catch {
    throw Object.assign(new SyntaxError("This is not JSON."), { input });
  }
}

function put(object, path, value) {
  const inner = path.slice(0, -1).reduce((at, key) => (at[key] ??= {}), object);
  inner[path.at(-1)] = value;
}

// Fills the fields from an object; returns false where it holds what no field can show.
export function writeFields(container, payload) {
  for (const input of inputs(container)) {
    const value = pathOf(input).reduce((at, key) => at?.[key], payload);
    if (input.type === "checkbox") input.checked = value === undefined ? input.defaultChecked : value === true;
    else input.value = value === undefined || value === null ? "" : input.dataset.type === "string" && typeof value === "string" ? value : JSON.stringify(value);
  }
  return sameJSON(payload, container);
}

function sameJSON(payload, container) {
  const known = new Set(inputs(container).map((input) => pathOf(input)[0]));
  return Object.keys(payload).every((key) => known.has(key)) && inputs(container).every((input) => input.value !== "" || pathOf(input).reduce((at, key) => at?.[key], payload) === undefined || pathOf(input).reduce((at, key) => at?.[key], payload) === "" || input.type === "checkbox");
}

// What the browser itself finds wrong, as {path: [message]}.
export function selfCheck(container) {
  return inputs(container).filter((input) => !input.checkValidity()).map((input) => ({ path: pathOf(input).join("."), message: input.validationMessage }));
}

// Writes each fault beside its field; returns those that have none.
export function showFaults(root, found) {
  for (const line of root.querySelectorAll("[data-error]")) line.hidden = true;
  for (const input of inputs(root)) input.removeAttribute("aria-invalid");
  return found.filter((fault) => !showFault(root, fault));
}

function showFault(root, { path, message }) {
  const lines = [...root.querySelectorAll("[data-error]")];
  const line = lines.find((one) => one.dataset.error === path) ?? lines.find((one) => path.startsWith(`${one.dataset.error}.`));
  if (!line || line.closest("[hidden]:not([data-error])")) return false;
  line.textContent = line.hidden ? message : `${line.textContent} ${message}`;
  line.hidden = false;
  line.parentElement.querySelector("[data-path]")?.setAttribute("aria-invalid", "true");
  return true;
}
