// Lines over the last minutes: an SVG that is drawn anew with each point, as wide as its card.

import { element } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 170, TOP = 8, BOTTOM = 20, LEFT = 62, RIGHT = 6;
const COLOURS = 5;
// What a chart is wide, in seconds, as it grows.
const SPANS = [60, 120, 300];

function svg(name, attributes = {}, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// The least of 1, 2 and 5 times a power of ten (or of two, for bytes) that holds `value`.
export function ceiling(value, binary) {
  if (!(value > 0)) return 1;
  const base = binary ? 1024 ** Math.floor(Math.log(value) / Math.log(1024)) : 1;
  const scale = 10 ** Math.floor(Math.log10(value / base));
  const step = [1, 2, 5, 10].find((one) => one * scale * base >= value * 0.9999);
  return (step ?? 10) * scale * base;
}

export class LineChart {
  // `series` are [title, read(point)], or a function of all points that gives them; `show` makes a figure text.
  constructor(host, title, series, show, { top = 0, least = 0, binary = false } = {}) {
    Object.assign(this, { host, title, series, show, top, least, binary, points: [], hovered: null });
    this.picture = svg("svg", { role: "img", focusable: "false" });
    this.legend = element("div", { class: "legend" });
    host.append(this.picture, this.legend);
    this.picture.addEventListener("pointermove", (event) => { this.hovered = event.offsetX; this.draw(); });
    this.picture.addEventListener("pointerleave", () => { this.hovered = null; this.draw(); });
    new ResizeObserver(() => this.draw()).observe(host);
  }

  update(points) {
    this.points = points;
    this.draw();
  }

  draw() {
    const width = this.host.clientWidth;
    if (width < 80) return;
    const series = typeof this.series === "function" ? this.series(this.points) : this.series;
    const now = this.points.length ? this.points.at(-1).at : 0;
    const age = this.points.length ? now - this.points[0].at : 0;
    const span = SPANS.find((one) => one >= age) ?? SPANS.at(-1);
    const seen = this.points.filter((point) => now - point.at <= span);
    const values = series.map(([, read]) => seen.map(read));
    const top = this.top || ceiling(Math.max(this.least, ...values.flat().filter((value) => value !== null && value !== undefined)), this.binary);
    const x = (at) => width - RIGHT - ((now - at) / span) * (width - LEFT - RIGHT);
    const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      parts.push(svg("line", { class: "grid-line", x1: LEFT, x2: width - RIGHT, y1: y(top * share), y2: y(top * share) }));
      parts.push(svg("text", { x: LEFT - 8, y: y(top * share) + 4, "text-anchor": "end" }, this.show(top * share)));
    }
    for (const step of [1, 2, 3, 4].map((one) => (one * span) / (span > 120 ? 5 : 4)).filter((one) => one < span)) {
      parts.push(svg("text", { x: x(now - step), y: HEIGHT - 3, "text-anchor": "middle" }, span > 120 ? `−${step / 60} min` : `−${step} s`));
    }
    series.forEach((_, index) => {
      for (const run of runs(seen, values[index])) {
        const line = run.map(([at, value], place) => `${place ? "L" : "M"}${x(at).toFixed(1)} ${y(Math.min(value, top)).toFixed(1)}`).join("");
        const colour = `s${index % COLOURS}`;
        if (index < 2) parts.push(svg("path", { class: `area ${colour}`, d: `${line}L${x(run.at(-1)[0]).toFixed(1)} ${y(0)}L${x(run[0][0]).toFixed(1)} ${y(0)}Z` }));
        parts.push(svg("path", { class: `line ${colour}`, d: line }));
      }
    });
    let told = seen.length - 1;
    if (this.hovered !== null && seen.length) {
      const at = now - ((width - RIGHT - this.hovered) / (width - LEFT - RIGHT)) * span;
      told = seen.reduce((best, point, index) => (Math.abs(point.at - at) < Math.abs(seen[best].at - at) ? index : best), 0);
      parts.push(svg("line", { class: "cross", x1: x(seen[told].at), x2: x(seen[told].at), y1: TOP, y2: HEIGHT - BOTTOM }));
    }
    this.picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.picture.replaceChildren(...parts);
    const figures = series.map(([title], index) => [title, told < 0 || values[index][told] === null || values[index][told] === undefined ? "–" : this.show(values[index][told])]);
    this.picture.setAttribute("aria-label", `${this.title}: ${figures.map((one) => one.join(" ")).join(", ") || "nothing yet"}`);
    this.legend.replaceChildren(...figures.map(([title, value], index) => element("span", {}, element("i", { class: `s${index % COLOURS}` }), title, element("b", {}, value))));
  }
}

// Lines end where there is no value, and where nobody looked.
function runs(points, values) {
  const found = [];
  let run = [];
  points.forEach((point, index) => {
    const missing = values[index] === null || values[index] === undefined;
    if (run.length && (missing || point.at - run.at(-1)[0] > 5)) { found.push(run); run = []; }
    if (!missing) run.push([point.at, values[index]]);
  });
  if (run.length) found.push(run);
  return found;
}
