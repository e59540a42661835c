// The steps that this page knows, column by column, over restarts of the server.
export class Steps {
  at = []; // s since 1970 at which each begins; in the order of time
  columns = {}; // name -> a figure for each
  starts = []; // when the server was started, as far as it is known

  #epoch = null;

  constructor(step, span) {
    Object.assign(this, { step, span });
  }

  // The beginning of the newest step (s, whole), to be asked on from.
  get newest() {
    return Math.floor(this.at.at(-1) ?? 0);
  }

  // Takes in an answer of GET /charts. What another server told before stays, with a gap behind it.
  take(body) {
    if (body.at.length && body.at[0] <= this.newest) this.#clear(); // its clock was set back
    if (body.epoch !== this.#epoch) this.#begin(body);
    body.at.forEach((at, index) => this.#add(at, (name) => body[name][index]));
    this.#letGo();
  }

  // The first and the last step of a row, and its figures, for each row of the table of these series; the newest first.
  rows(names) {
    const rows = [];
    this.at.forEach((at, index) => {
      const figures = names.map((name) => this.columns[name][index]);
      const last = rows.at(-1);
      if (figures.includes(undefined)) return; // a gap
      if (last?.end === at && figures.every((one, place) => one === last.figures[place])) last.end = at + this.step;
      else rows.push({ begin: at, end: at + this.step, figures });
    });
    return rows.reverse();
  }

  #clear() {
    this.at = [];
    for (const name of Object.keys(this.columns)) this.columns[name] = [];
  }

  #begin(body) {
    this.#epoch = body.epoch;
    this.starts.push(body.started_at);
    if (this.at.length) this.#add(this.newest + this.step / 2, () => undefined);
    else for (const name of Object.keys(body)) if (name !== "at" && Array.isArray(body[name])) this.columns[name] = [];
  }

  #add(at, figure) {
    this.at.push(at);
    for (const [name, column] of Object.entries(this.columns)) column.push(figure(name));
  }

  #letGo() {
    const oldest = this.newest - this.span;
    const old = this.at.findIndex((at) => at > oldest);
    for (const column of [this.at, ...Object.values(this.columns)]) column.splice(0, old);
    this.starts = this.starts.filter((at, index) => index === this.starts.length - 1 || Date.parse(at) / 1000 > oldest);
  }
}
