// One chart: drawn by uPlot, its newest figures in the legend, all of them in its table.
import { part, setText } from "./page.js";
import { number } from "./words.js";

/* global uPlot */
const DASHES = { solid: [], dashed: [8, 4], dotted: [2, 3] };
const FONT = "12px system-ui, sans-serif";

// A figure as it is read; twin: routes/charts.py worded().
function worded(figure, unit) {
  if (figure === null || figure === undefined) return "–";
  if (!unit) return number(figure);
  return figure < 1 ? `${Number((figure * 1000).toPrecision(3))} ms` : `${figure} s`;
}

const clock = (at) => new Date(at * 1000).toISOString().slice(11, 19);
const when = ({ begin, end }, step) => (end - begin === step ? clock(begin) : `${clock(begin)} – ${clock(end)}`);

// Where a figure stands between two gaps no line leads to it: a point is drawn.
function alone({ data }, series) {
  const missing = (index) => (data[series][index] ?? null) === null;
  return [...data[0].keys()].filter((index) => !missing(index) && missing(index - 1) && missing(index + 1));
}

export class Plot {
  constructor(chart, steps) {
    Object.assign(this, { steps, unit: chart.dataset.unit, box: part(chart, "plot") });
    this.legend = [...chart.querySelectorAll("[data-series]")];
    this.names = this.legend.map((item) => item.dataset.series);
    this.table = chart.querySelector("details");
    this.body = chart.querySelector("tbody");
    this.table.addEventListener("toggle", () => this.#fillTable());
    this.plot = new uPlot(this.#options(), [[], ...this.names.map(() => [])], this.box);
    new ResizeObserver(() => this.plot.setSize(this.#size())).observe(this.box);
  }

  // Shows what the steps are now.
  draw() {
    this.plot.setData([this.steps.at, ...this.names.map((name) => this.steps.columns[name].map((figure) => figure ?? null))]);
    this.#fillLegend(this.plot.cursor.idx);
    this.#fillTable();
  }

  // In other colours.
  redraw() {
    this.plot.redraw(false, true);
  }

  #options() {
    const axis = { stroke: () => this.#style().color, font: FONT, grid: { stroke: () => this.#style().borderTopColor, width: 1 }, ticks: { show: false } };
    return {
      ...this.#size(),
      legend: { show: false },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
      cursor: { y: false, drag: { x: false }, sync: { key: "charts" } },
      scales: { x: { range: () => this.#span() }, y: { range: (_, __, most) => [0, Math.max(most ?? 0, this.unit ? 0.001 : 1) * 1.1] } },
      axes: [{ ...axis, values: (_, all) => all.map((at) => clock(at).slice(0, this.steps.step === 1 ? 8 : 5)), space: 80, size: 28 }, { ...axis, values: (_, all) => all.map((one) => worded(one, this.unit)), size: 64 }],
      series: [{}, ...this.legend.map((item) => this.#series(item.querySelector(".swatch")))],
      hooks: { draw: [(plot) => this.#drawStarts(plot)], setCursor: [(plot) => this.#fillLegend(plot.cursor.idx)] },
    };
  }

  #series(swatch) {
    const look = getComputedStyle(swatch); // it is live: another theme, another colour
    return { stroke: () => look.color, width: 2, dash: DASHES[look.borderTopStyle], spanGaps: false, points: { size: 5, filter: alone } };
  }

  #style() {
    return getComputedStyle(this.box);
  }

  #size() {
    return { width: this.box.clientWidth || 300, height: this.box.clientHeight || 200 };
  }

  #span() {
    const end = this.steps.newest + this.steps.step;
    return [end - this.steps.span, end];
  }

  // A dashed line where the server was started.
  #drawStarts({ ctx, bbox, valToPos }) {
    const { outlineColor } = this.#style();
    const [from] = this.#span();
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = outlineColor;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const start of this.steps.starts.map((at) => Date.parse(at) / 1000)) {
      if (start < from) continue;
      const x = Math.round(valToPos(start, "x", true));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  // The figures under the pointer, or the newest.
  #fillLegend(index) {
    const at = index ?? this.steps.at.length - 1;
    this.legend.forEach((item, place) => setText(part(item, "value"), worded(this.steps.columns[this.names[place]]?.[at], this.unit)));
  }

  // Nobody sees it while it is closed.
  #fillTable() {
    if (!this.table.open || !this.steps.at.length) return;
    this.body.replaceChildren(...this.steps.rows(this.names).map((row) => this.#row(row)));
  }

  #row(row) {
    const line = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = when(row, this.steps.step);
    line.append(head, ...row.figures.map((figure) => cell(worded(figure, this.unit))));
    return line;
  }
}

function cell(text) {
  const made = document.createElement("td");
  made.textContent = text;
  return made;
}
