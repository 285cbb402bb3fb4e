// Time series on uPlot. What a chart shows is also there in words and as a table: a canvas says nothing.
import { $, h, children } from "./dom.js";
import { moment } from "./words.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const KEEP = 450;
const SHORTEST_S = 60; // of the axis of time: one point alone has no width

// Rows of a change replace those of the same time or come after them.
export function merge(kept, more) {
  const columns = (found) => ["rate", "lag", "lag_s", "waiting", "serving", "rival", "baseline"].map((name) => [found, name]);
  const width = kept.t.length;
  const named = ["slots", "weights"];
  for (const part of named) for (const name of Object.keys(more[part])) kept[part][name] = kept[part][name] || new Array(width).fill(null);
  more.t.forEach((t, row) => {
    let at = kept.t.length;
    while (at > 0 && kept.t[at - 1] >= t) at--;
    if (kept.t[at] !== t) {
      if (at < kept.t.length) return;
      kept.t.push(t);
    }
    for (const [, name] of columns(kept)) kept[name][at] = more[name][row];
    for (const part of named) for (const name of Object.keys(kept[part])) kept[part][name][at] = more[part][name] ? more[part][name][row] : null;
  });
  const known = new Set(kept.marks.map(String));
  kept.marks.push(...more.marks.filter((mark) => !known.has(String(mark))));
  const over = kept.t.length - KEEP;
  if (over > 0) {
    for (const column of [kept.t, ...columns(kept).map(([, name]) => kept[name]), ...named.flatMap((part) => Object.values(kept[part]))]) column.splice(0, over);
    kept.marks = kept.marks.filter(([t]) => t >= kept.t[0]);
  }
  for (const [name, column] of Object.entries(kept.slots)) if (column.every((value) => value === null)) delete kept.slots[name];
}

function drawMarks(u, marks) {
  const { ctx } = u, { top, height, left, width } = u.bbox, ratio = devicePixelRatio;
  ctx.save();
  ctx.font = `600 ${11 * ratio}px system-ui, sans-serif`;
  ctx.textBaseline = "top";
  let taken = -1e9;
  for (const [t, text] of marks) {
    const x = Math.round(u.valToPos(t / 1000, "x", true));
    if (x < left || x > left + width) continue;
    const kind = text.split(":")[0];
    ctx.strokeStyle = ctx.fillStyle = css(kind === "swap" ? "--swap" : "--drift");
    ctx.lineWidth = 1.5 * ratio;
    ctx.setLineDash(kind === "swap" ? [] : [4 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + height);
    ctx.stroke();
    const room = ctx.measureText(kind).width, right = x + room + 8 * ratio > left + width;
    if (x - taken > room + 8 * ratio) {
      ctx.textAlign = right ? "right" : "left";
      const ink = ctx.fillStyle, from = right ? x - room - 6 * ratio : x + 2 * ratio;
      ctx.fillStyle = css("--paper");
      ctx.fillRect(from, top, room + 4 * ratio, 15 * ratio);
      ctx.fillStyle = ink;
      ctx.fillText(kind, x + (right ? -4 : 4) * ratio, top + 2 * ratio);
      taken = x;
    }
  }
  ctx.restore();
}

// One chart: `lines` are {label, color, width, dash, values, scale, text}; text(value) is what a reader sees.
export class Chart {
  constructor(id, height) {
    Object.assign(this, { id, height, shape: "", plot: null });
    this.box = h("div", { class: "plot", "aria-hidden": "true" });
    this.legend = h("ul", { class: "legend" });
    new ResizeObserver(() => this.plot && this.plot.setSize(this.size())).observe(this.box);
  }

  size() {
    return { width: Math.max(200, this.box.clientWidth), height: this.height };
  }

  attach(figure) {
    if (this.box.parentNode !== figure) figure.prepend(this.legend, this.box);
  }

  draw(times, lines, marks) {
    this.lines = lines;
    this.marks = marks;
    const data = [times.map((t) => t / 1000), ...lines.map((line) => line.values)];
    const shape = JSON.stringify([lines.map(({ label, color, scale }) => [label, color, scale]), css("--ink"), css("--paper")]);
    if (this.plot && this.shape === shape) this.plot.setData(data);
    else this.make(shape, data);
    this.showAt(null);
  }

  make(shape, data) {
    if (this.plot) this.plot.destroy();
    this.shape = shape;
    const axis = { stroke: css("--dim"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const scales = [...new Set(this.lines.map((line) => line.scale))];
    this.plot = new uPlot({
      ...this.size(),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { range: (u, low, high) => [Math.min(low, high - SHORTEST_S), high] }, ...Object.fromEntries(scales.map((name) => [name, { range: (u, low, high) => this.range(low, high, name) }])) },
      axes: [{ ...axis, space: 70, values: (u, ticks, axis, space, step) => ticks.map((t) => moment(t * 1000).slice(-8, step < 60 ? undefined : -3)) },
        ...scales.map((name, at) => ({ ...axis, scale: name, side: at ? 1 : 3, size: 52, grid: at ? { show: false } : axis.grid,
          values: (u, ticks) => ticks.map((tick) => this.lines.find((line) => line.scale === name).text(tick)) }))],
      series: [{}, ...this.lines.map(({ label, color, width, dash, scale }) => ({
        label, scale, stroke: css(color), width: width || 1.5, dash, points: { show: (u) => u.data[0].length < 3, size: 7 }, spanGaps: false }))],
      hooks: { draw: [(u) => drawMarks(u, this.marks)], setCursor: [(u) => this.showAt(u.cursor.idx)] },
    }, data, this.box);
  }

  range(low, high, name) {
    if (low === null || low === undefined) return [0, 1];
    if (name !== "score") return [0, Math.max(high * 1.15, 1)];
    const pad = Math.max((high - low) * 0.12, 0.01);
    return [low >= 0 ? Math.max(0, low - pad) : low - pad, low >= 0 && high <= 1 ? Math.min(1.005, high + pad) : high + pad];
  }

  // Values under the pointer, else the newest.
  showAt(at) {
    const times = this.plot ? this.plot.data[0] : [];
    const row = at === null || at === undefined ? times.length - 1 : at;
    children(this.legend, [...this.lines.map((line) =>
      h("li", { "data-key": line.label }, h("span", { class: "swatch", style: { background: `var(${line.color})` }, "data-dash": line.dash ? "yes" : null }),
        h("span", null, line.label), h("b", null, line.text(line.values[row])))),
    h("li", { class: "when", "data-key": "when" }, at === null || at === undefined ? "now" : moment((times[row] || 0) * 1000))]);
  }
}

// A chart's numbers as a table, made while it is unfolded.
export function numbers(below, section, headings, rows) {
  const open = below.querySelector("details[open]");
  const body = !open ? [] : rows().map((cells) => h("tr", null, cells.map((cell, at) => h(at ? "td" : "th", at ? null : { scope: "row" }, cell))));
  return h("details", { class: "numbers" }, h("summary", null, "As a table"),
    h("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": `${section}, as a table` },
      h("table", null, h("thead", null, h("tr", null, headings.map((text) => h("th", { scope: "col" }, text)))), h("tbody", null, body))));
}
