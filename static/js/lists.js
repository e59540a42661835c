// The lists of jobs: which rows, "+N more", and the order held still under the hand.
import { part, setText } from "./page.js";
import { reconcile, show, fillJob, fillRejection } from "./rows.js";
import { number } from "./words.js";

const RESTS = 30000; // ms after which a pointer that does not move is no hand, but was left there

// One list: rows(state) gives its items, total(state) the exact count.
export class List {
  static still = false; // whether all lists are held, whatever the hand does

  constructor(root, { rows, total, template = "job-row" }, redraw) {
    Object.assign(this, { root, rows, total, template });
    this.body = root.querySelector("tbody");
    this.fill = template === "job-row" ? fillJob : fillRejection;
    this.held = part(root, "held");
    this.more = part(root, "more");
    this.hand = new Hand(this.body, redraw);
    this.drawn = null; // the items that the rows show, each in its place; null where the hand held them
    this.begun = false;
  }

  render(state) {
    const items = this.rows(state);
    const waiting = List.still || this.hand.holds ? this.#refresh(state, items) : this.#redraw(items);
    this.held.hidden = !waiting && !List.still;
    setText(this.held, `Paused${waiting ? `, ${number(waiting)} ${waiting === 1 ? "update" : "updates"}` : ""}`);
    const beyond = Math.max(0, this.total(state) - items.length);
    this.more.hidden = !beyond;
    setText(this.more, `+${number(beyond)} more`);
  }

  #redraw(items) {
    if (this.drawn && alike(items, this.drawn)) return 0;
    reconcile(this.body, items, this.template, this.fill, !this.begun);
    this.drawn = items;
    this.begun = true;
    return 0;
  }

  // Only what the rows say changes, not which they are. Returns how many rows would come, go or move.
  #refresh(state, items) {
    this.drawn = null;
    const places = new Map(items.map((item, index) => [item.id, index]));
    let waiting = items.length;
    let last = -1;
    for (const row of this.body.children) {
      const id = Number(row.dataset.id);
      const place = places.get(id) ?? -1;
      const job = this.fill === fillJob ? state.jobs.get(id) : null;
      const item = items[place] ?? job;
      if (item) show(row, item, place + 1, this.fill);
      if (place > last) waiting -= 1; // it stands where it will
      else if (place < 0 && job !== null && job?.state !== this.root.id) waiting += 1; // it will go, not only below the last one
      last = Math.max(last, place);
    }
    return waiting;
  }
}

const alike = (items, others) => items.length === others.length && items.every((item, index) => item === others[index]);

// Whether somebody's hand is on the rows: a pointer, the keyboard, or a row that is selected.
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
    const focused = document.activeElement; // not looked for by :focus-visible, which is slow
    const keyed = this.body.contains(focused) && focused.matches(":focus-visible");
    return this.#timer !== 0 || keyed || this.body.querySelector(".pick:checked") !== null;
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
