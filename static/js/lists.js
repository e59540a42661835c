// The lists of jobs: which rows, "+N more", and the order held still under the hand.
import { part, setText } from "./page.js";
import { reconcile, show, fillJob, fillRejection } from "./rows.js";
import { number } from "./words.js";

const RESTS = 2500; // ms after which a pointer that does not move no longer holds the order

// One list: rows(state) gives its items, total(state) the exact count.
export class List {
  constructor(root, { rows, total, template = "job-row" }, redraw) {
    Object.assign(this, { root, rows, total, template });
    this.body = root.querySelector("tbody");
    this.fill = template === "job-row" ? fillJob : fillRejection;
    this.hand = new Hand(this.body, redraw);
    this.drawn = false;
  }

  render(state) {
    const items = this.rows(state);
    const waiting = this.hand.holds ? this.#refresh(state, items) : this.#redraw(items);
    const held = part(this.root, "held");
    held.hidden = !waiting;
    setText(held, waiting ? `held still, ${number(waiting)} ${waiting === 1 ? "update" : "updates"}` : "");
    const beyond = Math.max(0, this.total(state) - items.length);
    const more = part(this.root, "more");
    more.hidden = !beyond;
    setText(more, `+${number(beyond)} more`);
  }

  #redraw(items) {
    reconcile(this.body, items, this.template, this.fill, !this.drawn);
    this.drawn = true;
    return 0;
  }

  // Only what the rows say changes, not which they are. Returns how many rows would come, go or move.
  #refresh(state, items) {
    const places = new Map(items.map((item, index) => [item.id, index]));
    let waiting = items.length;
    [...this.body.children].forEach((row, index) => {
      const id = Number(row.dataset.id);
      const item = items[places.get(id)] ?? state.jobs.get(id);
      if (item) show(row, item, index + 1, this.fill);
      waiting += places.get(id) === index ? -1 : places.has(id) ? 0 : 1;
    });
    return waiting;
  }
}

// Whether somebody's hand is on the rows: a pointer that moved a moment ago, or the keyboard.
class Hand {
  #timer = 0;

  constructor(body, redraw) {
    this.body = body;
    this.redraw = redraw;
    body.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.#touch());
    body.addEventListener("pointerleave", () => this.release());
    body.addEventListener("click", () => this.release());
    body.addEventListener("focusout", redraw);
  }

  get holds() {
    return this.#timer !== 0 || this.body.querySelector(":focus-visible") !== null;
  }

  release() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.redraw();
  }

  #touch() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.release(), RESTS);
  }
}
