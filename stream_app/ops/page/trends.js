// The two charts, in words too.
import { $, children, h } from "./dom.js";
import { Chart, numbers } from "./charts.js";
import { UNKNOWN, count, known, moment, perSecond, score, seconds, share } from "./words.js";

const COLORS = ["--c2", "--c3", "--c4", "--c5", "--c6", "--c7"];
const parts = {};

function place(id, title, chart, controls) {
  if (!parts[id]) {
    const head = h("div", { class: "head" }), caption = h("figcaption"), plot = h("figure", null, caption), below = h("div");
    chart.attach(plot);
    $(id).append(head, plot, below);
    parts[id] = { head, caption, below };
  }
  children(parts[id].head, [h("h2", { id: `${id}-title` }, title), controls]);
  return parts[id];
}

const chartOf = { scores: null, flow: null, weights: null };
const last = (column) => column[column.length - 1];

const range = (span) => h("div", { class: "segments", role: "group", "aria-label": "Time span" }, [["near", "15 minutes"], ["far", "7 hours"]].map(([name, text]) =>
  h("button", { type: "button", "data-action": "span", "data-span": name, "aria-pressed": String(name === span) }, text)));

function every(series, row, most) {
  const step = Math.max(1, Math.ceil(series.t.length / most));
  return series.t.map((_, at) => at).filter((at) => (series.t.length - 1 - at) % step === 0).reverse().map(row);
}

export function scores(board, span) {
  const series = board.series[span];
  const chart = (chartOf.scores = chartOf.scores || new Chart("scores", 260));
  const text = (value) => score(value), lines = [];
  const single = board.scope !== null;
  if (single) Object.keys(series.slots).sort().forEach((name, at) => lines.push({ label: name, color: COLORS[at % COLORS.length], values: series.slots[name], scale: "score", text }));
  else lines.push({ label: "best challenger", color: "--c2", values: series.rival, scale: "score", text });
  lines.push({ label: "last-label baseline", color: "--dim", dash: [6, 5], values: series.baseline, scale: "score", text });
  lines.push({ label: "serving", color: "--c1", width: 3, values: series.serving, scale: "score", text });
  const what = board.score === "mae" ? "mean absolute error, lower is better" : "accuracy, higher is better";
  const found = place("scores", `Rolling ${what}`, chart, range(span));
  chart.draw(series.t, lines, series.marks);
  const marks = series.marks.slice(-3).map(([t, said]) => `${said}, at ${moment(t)}`); // lists name event time
  const words = `The serving model is at ${score(last(series.serving))}, the best challenger at ${score(last(series.rival))}, the baseline at ${score(last(series.baseline))}. ${marks.length ? `Newest marks: ${marks.join("; ")}.` : "No drift and no swap in this time."}`;
  found.caption.textContent = words;
  children(found.below, [numbers(found.below, "Scores", ["Time", "Serving", "Best challenger", "Baseline"], () => every(series, (at) => [moment(series.t[at]), score(series.serving[at]), score(series.rival[at]), score(series.baseline[at])], 30))]);
}

// How the blend did over the last labels beside the best of its models, and beside the best one of each stretch.
function regret(board) {
  const found = board.regret;
  if (!found || found.stretches < 2) return "";
  const far = (value) => {
    const better = board.score === "mae" ? -value : value;
    const size = board.score === "mae" ? score(Math.abs(value)) : `${(100 * Math.abs(value)).toFixed(1)} points`;
    return `${size} ${better < 0 ? "behind" : "ahead of"}`;
  };
  return ` Over the last ${count(found.labels)} labels it is ${far(found.less_single)} ${found.single}, the best of its models, and ${far(found.less_sequence)} the best model of each of ${found.stretches} stretches, which nobody knows before.`;
}

// How the blend does beside the best of its models.
function beside(board) {
  const value = (slot) => slot.scores[board.score], scored = board.detail.slots.filter((slot) => known(value(slot)));
  const blend = scored.find((slot) => slot.name === "blend"), sign = board.score === "mae" ? 1 : -1;
  const best = scored.filter((slot) => slot !== blend).sort((one, other) => sign * (value(one) - value(other)))[0];
  const what = board.score === "mae" ? "mean absolute error" : "accuracy";
  return blend && best ? ` Its rolling ${what} is ${score(value(blend))}; its best single model, ${best.name} v${best.version}, has ${score(value(best))}.` : "";
}

// What each model of a blend weighs; of one shard alone, and only where there is a blend.
export function weights(board, span) {
  const series = board.series[span], names = Object.keys(series.weights).sort();
  const blends = board.detail.slots.some((slot) => known(slot.weight));
  $("weights").hidden = !blends || board.scope === null && board.shards > 1;
  if ($("weights").hidden) return;
  const chart = (chartOf.weights = chartOf.weights || new Chart("weights", 190));
  const found = place("weights", "Weights of the blend", chart, range(span));
  chart.draw(series.t, names.map((name, at) => ({ label: name, color: COLORS[at % COLORS.length], width: 2, values: series.weights[name], scale: "score", text: share })), series.marks);
  const heaviest = names.map((name) => [name, last(series.weights[name])]).filter(([, value]) => known(value)).sort((one, other) => other[1] - one[1]);
  found.caption.textContent = heaviest.length ? `${heaviest.map(([name, value]) => `${name} has ${share(value)}`).join(", ")} of the weight. The answer is the mean of all, by these weights.${beside(board)}${regret(board)}` : "No weight is known yet.";
  children(found.below, [numbers(found.below, "Weights", ["Time", ...names], () => every(series, (at) => [moment(series.t[at]), ...names.map((name) => share(series.weights[name][at]))], 30))]);
}

export function flow(board, span) {
  const series = board.series[span];
  const chart = (chartOf.flow = chartOf.flow || new Chart("flow", 190));
  const found = place("flow", "Throughput and lag", chart, null);
  chart.draw(series.t, [{ label: "events a second", color: "--c1", width: 2, values: series.rate, scale: "rate", text: perSecond },
    { label: "seconds behind", color: "--c3", dash: [2, 3], values: series.lag_s, scale: "lag", text: (value) => (value === null || value === undefined ? UNKNOWN : seconds(value)) }], []);
  const { rates, lag_s: lag } = board.detail; // of the same window as everywhere on the page
  const words = `${perSecond(rates.predictions)} events a second now; ${lag === null || lag === undefined ? "the lag is not known" : `${seconds(lag)} behind`}.`;
  found.caption.textContent = words;
  children(found.below, [numbers(found.below, "Throughput and lag", ["Time", "Events a second", "Seconds behind", "Waiting for labels"], () => every(series, (at) => [moment(series.t[at]), perSecond(series.rate[at]), series.lag_s[at] === null ? UNKNOWN : seconds(series.lag_s[at]), count(series.waiting[at])], 30))]);
}
