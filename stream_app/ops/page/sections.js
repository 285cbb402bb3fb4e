// Each section of the page from a board's data.
import { $, children, fill, h, table } from "./dom.js";
import { UNKNOWN, ago, bytes, count, known, moment, perSecond, score, seconds, share } from "./words.js";

const STATES = { healthy: ["✓", "Healthy"], idle: ["✓", "Idle"], attention: ["!", "Attention"], stopped: ["✕", "Stopped"], empty: ["…", "Waiting"],
  lost: ["⚡", "Disconnected"], denied: ["🔒", "No access"], wait: ["…", "Connecting"] };
const CLOCK = new Set(["bridge-silent", "shard-halted", "learner-silent", "delivery-failing", "publication-refused"]); // raised by the clock, not by a record
const NO_ORDERS = "Orders are off, because no token is set";
const time = (ms) => h("time", ms > 0 ? { datetime: new Date(ms).toISOString() } : null, moment(ms));
const tag = (text, kind) => h("span", { class: "tag", "data-kind": kind || text }, text);
const pairs = (rows) => h("dl", { class: "pairs" }, rows.map(([name, value, note]) =>
  h("div", null, h("dt", null, name), h("dd", null, value, note && h("small", null, ` ${note}`)))));
// One that cannot act looks so, and still says why when it is pressed.
const button = (text, action, data, label, off) => h("button", { type: "button", "data-action": action, "aria-label": label || null, "data-off": off || null, title: off || null,
  ...Object.fromEntries(Object.entries(data || {}).map(([name, value]) => [`data-${name}`, value])) }, text);
const bar = (share, label) => h("svg:svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true", "data-for": label },
  h("svg:rect", { class: "rest", width: 100, height: 8, rx: 2 }), h("svg:rect", { class: "part", width: Math.max(0, Math.min(100, share * 100)).toFixed(1), height: 8, rx: 2 }));

export function health(found, lost) {
  const state = lost ? lost.state || "lost" : found.state, [icon, word] = STATES[state] || STATES.wait;
  const rest = found.findings.slice(1);
  $("health").dataset.state = state;
  document.title = `${icon} ${word}${found.app ? `: ${found.app}` : ""}`;
  children($("health"), [h("span", { class: "icon", "aria-hidden": "true" }, icon), h("div", null,
    h("p", { class: "state" }, word), h("h2", { id: "health-text" }, lost ? lost.text : found.sentence),
    (lost ? lost.remedy : found.remedy) && h("p", { class: "remedy" }, h("b", null, "What to do: "), lost ? lost.remedy : found.remedy),
    !lost && rest.length > 0 && h("ul", { class: "findings" }, rest.map((one) => h("li", null, one.text, " ", h("span", { class: "dim" }, one.remedy))))) ]);
}

export function empty(app) {
  const code = (text) => h("pre", { tabindex: "0" }, h("code", null, text));
  children($("empty"), [h("h2", { id: "empty-title" }, "No events yet: how to send the first"),
    h("ol", null,
      h("li", null, h("p", null, "Make the topics and start a learner. MODULE:APP is the definition's file and name."),
        code("stream-app topics create MODULE:APP\nstream-app learn MODULE:APP")),
      h("li", null, h("p", null, "Send a file, or single events from your own code."),
        code(`stream-app produce MODULE:APP rows.csv --key entity --label label`),
        code(`from stream_app.client import EventProducer\n\nwith EventProducer(${JSON.stringify(app)}, "127.0.0.1:9092") as producer:\n    event_id = producer.send("entity-7", {"amount": 12.5})\n    producer.label("entity-7", event_id, True)`)),
      h("li", null, h("p", null, "This page shows the first statistics a second later, by itself.")))]);
}

const best = (board) => board.detail.slots.find((slot) => !slot.serves && !slot.failed && known(slot.scores[board.score]));
const many = (n, what) => `${count(n || 0)} ${what}${n === 1 ? "" : "s"}`;

export function serving(board) {
  const detail = board.detail, one = detail.serving.length === 1, mine = board.models.filter((model) => model.status === "serving");
  const slot = detail.slots.find((each) => each.serves), rival = best(board);
  const newest = mine.reduce((a, b) => (!a || (b.since_ms || 0) > (a.since_ms || 0) ? b : a), null);
  const since = newest && known(newest.since_ms) ? newest.since_ms : (board.summary.find((each) => board.scope === null || each.shard === board.scope) || {}).since_ms;
  const row = (label, name, value, kind) => h("tr", { "data-kind": kind }, h("th", { scope: "row" }, label), h("td", null, name), h("td", { class: "number" }, score(value)));
  fill("serving", "Serving model",
    h("p", { class: "big" }, detail.serving.length ? detail.serving[0][0] : "none"),
    h("p", { class: "dim" }, one ? ["serves since ", known(since) ? time(since) : UNKNOWN, since > 0 ? ` (event time, ${ago(since, board.now_ms)})` : ""]
      : `on ${detail.serving[0] ? detail.serving[0][1] : 0} shards; also ${detail.serving.slice(1, 6).map(([name, n]) => `${name} on ${n}`).join(", ")}`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "How good it is" }, h("table", { class: "versus" }, h("caption", null, `Rolling ${board.score} of served predictions, ${count(slot && slot.scores.n)} of them${board.score === "mae" ? "; lower is better" : ""}`),
      h("tbody", null, slot && row("Serving", `${slot.name} v${slot.version}`, slot.scores[board.score], "serving"),
        row("Best challenger", rival ? `${rival.name} v${rival.version}` : "none", rival && rival.scores[board.score], "rival"),
        row("Baseline", "the last label", detail.baseline[board.score], "baseline")))),
    h("h3", null, "Why this one"),
    newest ? h("div", { class: "why" }, newest.words.slice(0, 3).map((text) => h("p", null, text)),
      newest.words.length > 3 && h("details", null, h("summary", null, "The whole receipt"), newest.words.slice(3).map((text) => h("p", null, text))))
      : h("p", { class: "dim" }, "No receipt of it has been read yet."));
}

export function figures(board, orders) {
  const off = orders === "allowed" ? "" : NO_ORDERS, mine = board.models.filter((model) => model.status === "serving");
  const first = mine.length > 0 && mine.every((model) => model.parent === null); // nothing served before
  const { detail } = board, dead = Object.values(detail.dead_letters).reduce((a, b) => a + b, 0);
  const tile = (name, value, note) => h("div", { class: "tile" }, h("dt", null, name), h("dd", null, h("b", null, value), note && h("span", null, note)));
  fill("figures", "Now",
    h("dl", { class: "tiles" }, tile("Events", perSecond(detail.rates.predictions), "a second"), tile("Learned", perSecond(detail.rates.labels_learned), "labels a second"),
      tile("Behind", detail.lag ? count(Object.values(detail.lag).reduce((a, b) => a + b, 0)) : UNKNOWN, detail.lag ? `records, ${seconds(detail.lag_s)}` : ""),
      tile("Waiting", count(detail.labels.waiting), "for their label"), tile("Predicted", count(detail.counts.predictions), "in all"), tile("Refused", count(dead), "dead letters")),
    h("p", { class: "actions" }, detail.paused ? button("Resume learning", "resume", {}, null, off) : button("Pause learning", "pause", {}, null, off), button("Roll back", "rollback", {}, null, off || (first && "No other model has served before this one"))),
    h("p", { class: "dim" }, detail.paused ? `Learning is paused on ${detail.paused} of ${board.scope === null ? board.shards : 1} shards.` : `${many(detail.counts.swaps, "swap")} and ${many(detail.counts.drifts, "drift")} so far.`));
}

export function models(board, orders) {
  const off = orders === "allowed" ? "" : NO_ORDERS;
  const several = board.scope === null && board.shards > 1, blends = board.detail.slots.some((slot) => known(slot.weight));
  const status = (slot) => {
    const found = board.models.find((model) => model.slot === slot.name && model.version === slot.version && model.status !== "retired");
    return !found || found.status === "serving" && !blends ? "challenger" : found.status === "serving" ? "leading" : found.status;
  };
  const rows = board.detail.slots.map((slot) => {
    const name = `${slot.name} v${slot.version}`, to = several ? { slot: slot.name } : { version: slot.version };
    const role = slot.failed ? tag("failed") : slot.serves ? tag(several && slot.serves < slot.shards ? `serves ${slot.serves} of ${slot.shards}` : "serving", "serving") : tag(status(slot));
    const others = Object.entries(slot.scores).filter(([what, value]) => what !== "n" && what !== board.score && known(value)).map(([what, value]) => `${what.replace("_", " ")} ${score(value)}`);
    return h("tr", { "data-key": name }, h("th", { scope: "row" }, name), h("td", null, role), h("td", { class: "number" }, score(slot.scores[board.score])),
      blends && h("td", { class: "number" }, slot.name === "blend" ? "–" : share(slot.weight)),
      h("td", { class: "dim" }, others.join(" · ") || "–"), h("td", { class: "number" }, count(slot.learned)), h("td", { class: "number" }, bytes(slot.memory_bytes)),
      h("td", { class: "actions" }, !slot.serves && !slot.failed && slot.name !== "blend" && button("Promote", "promote", { ...to, name }, `Promote ${name}`, off), !slot.serves && button("Drop", "drop", { ...to, name }, `Drop ${name}`, off)));
  });
  fill("models", "Models", table("Models", ["Model", "Role", board.score === "mae" ? "MAE" : "Accuracy", ...(blends ? ["Weight"] : []), "Other rolling scores", "Learned", "Memory", "Orders"], rows));
}

export function labels(board) {
  const found = board.detail.labels, delay = found.delay_s;
  if (!found.came && !found.waiting && board.detail.counts.predictions > 0 && !board.detail.slots.some((slot) => slot.scores.n)) {
    fill("labels", "Labels", h("p", { class: "dim" }, "No label has come. Without labels nothing can be scored or swapped."));
    return;
  }
  fill("labels", "Labels", pairs([["Came", count(found.came)], ["Matched and learned", count(found.learned)], ["Events waiting", count(found.waiting)],
    ["Early, parked", count(found.early)], ["Expired", count(found.expired), "no label within the horizon"], ["Late", count(found.late), "after the horizon"],
    ["Orphan", count(found.orphan), "no such event"], ["Repeated", count(found.repeated)], ["Skipped", count(found.skipped), "while paused"], ["Refused in all", count(found.refused)],
    ["Delay, median", delay ? `under ${seconds(delay[0])}` : UNKNOWN], ["Delay, 95th percentile", delay ? `under ${seconds(delay[1])}` : UNKNOWN]]));
}

export function drift(board) {
  const { moved, importance, drift: signals } = board.detail, top = Math.max(...moved.map(([, by]) => by), 1e-9);
  const most = importance.length ? importance[0][1] : 1;
  fill("drift", "Drift", importance.length > 0 && [h("h3", null, "Features that matter most"),
    h("ol", { class: "bars" }, importance.map(([name, share]) => h("li", { "data-key": `i ${name}` }, h("span", { class: "name" }, name), bar(share / most, name), h("b", null, `${Math.round(100 * share)} %`)))),
    h("p", { class: "dim" }, "Share of what features do to the answers of the serving model, from explanations of its newest sample rows.")],
    h("h3", null, "Features that moved most"),
    moved.length ? h("ol", { class: "bars" }, moved.map(([name, by]) => h("li", { "data-key": `f ${name}` }, h("span", { class: "name" }, name), bar(by / top, name), h("b", null, score(by))))) : h("p", { class: "none" }, UNKNOWN),
    moved.length > 0 && h("p", { class: "dim" }, "In standard deviations; for categories as population stability index."),
    h("h3", null, "Detectors"), signals.length ? table("Detectors", ["Signal", "Detector", "Level", "Before → after", "At (event time)"], signals.map((one) => h("tr", null,
      h("th", { scope: "row" }, `${one.signal}${one.name ? ` of ${one.name}` : ""}${board.shards > 1 ? ` (shard ${one.shard})` : ""}`), h("td", null, one.detector), h("td", null, tag(one.level)),
      h("td", { class: "number" }, one.signal === "label_delay" ? `${seconds(one.before / 1000)} → ${seconds(one.after / 1000)}` : `${score(one.before)} → ${score(one.after)}`), h("td", null, time(one.at_ms))))) : h("p", { class: "none" }, UNKNOWN));
}

export function alerts(board, runbook) {
  const link = (one) => {
    const address = /^https?:\/\//.test(one.runbook) ? one.runbook : runbook ? `${runbook}#${one.runbook.split("#")[1] || one.type}` : "";
    return address ? h("a", { href: address, rel: "noreferrer", target: "_blank" }, "Runbook") : h("code", null, one.runbook);
  };
  const items = board.alerts.map((one) => h("li", { "data-key": one.id, "data-severity": one.over ? null : one.severity },
    h("p", { class: "line" }, tag(one.severity), h("b", null, one.type), one.over && tag("over", "serving"), h("span", { class: "dim" }, board.shards > 1 ? `shard ${one.shard}, ` : "", time(one.time_ms), CLOCK.has(one.type) ? "" : " (event time)")),
    h("p", null, one.message), h("p", { class: "dim" }, one.delivered ? `sent to: ${one.delivered}` : "not sent anywhere yet", one.runbook ? [" · ", link(one)] : ""),
    Object.keys(one.evidence).length > 0 && h("details", null, h("summary", null, "Evidence"), pairs(Object.entries(one.evidence)))));
  fill("alerts", "Alerts", items.length ? h("ol", { class: "timeline scroll tall", tabindex: "0", "aria-label": "Alerts, newest first" }, items) : h("p", { class: "none" }, "No alert has been raised."));
}

export function letters(board) {
  const counts = Object.entries(board.detail ? board.detail.dead_letters : {}).sort((a, b) => b[1] - a[1]);
  const about = new Map(board.letters.map((one) => [one.reason, one]));
  fill("letters", "Dead letters", counts.length ? h("ul", { class: "reasons" }, counts.map(([reason, n]) => {
    const one = about.get(reason), newest = board.letters.filter((each) => each.reason === reason).slice(0, 5);
    return h("li", { "data-key": reason }, h("p", { class: "line" }, h("b", null, reason), tag(count(n), "count")), one && one.meaning && h("p", null, `${one.meaning}.`),
      one && one.remedy && h("p", { class: "dim" }, h("b", null, "Fix: "), `${one.remedy}.`),
      newest.length > 0 && h("details", null, h("summary", null, "The newest"), h("ul", null, newest.map((each) =>
        h("li", { "data-key": `${each.partition}:${each.offset}` }, h("code", null, `${each.partition}:${each.offset}`), " ", time(each.time_ms), " ", each.message, h("span", { class: "dim" }, ` (${each.topic} ${each.source}, stage ${each.stage})`))))));
  })) : h("p", { class: "none" }, "Nothing has been refused."),
  counts.length > 0 && h("p", { class: "dim" }, h("code", null, "stream-app dlq ls MODULE:APP"), " shows them whole; ", h("code", null, "dlq retry"), " sends them again."));
}

export function lineage(board) {
  const born = [...board.models].sort((a, b) => (b.status === "serving") - (a.status === "serving") || (b.since_ms || 0) - (a.since_ms || 0) || b.version - a.version);
  fill("lineage", "Model lineage", born.length ? h("ol", { class: "timeline scroll tall", tabindex: "0", "aria-label": "Models, newest first" }, born.map((model) =>
    h("li", { "data-key": `${model.shard}/${model.version}`, "data-kind": model.status }, h("p", { class: "line" }, h("b", null, `${model.slot} v${model.version}`), tag(model.status),
      h("span", { class: "dim" }, board.shards > 1 ? `shard ${model.shard}, ` : "", model.parent === null ? "" : `to replace v${model.parent}, `, known(model.since_ms) ? time(model.since_ms) : UNKNOWN)),
    h("details", null, h("summary", null, model.why || "Receipt"), model.words.map((text) => h("p", null, text)))))) : h("p", { class: "none" }, "No receipt has been read yet."),
  board.models_in_all > born.length && h("p", { class: "dim" }, `The newest ${count(born.length)} of ${count(board.models_in_all)}. One shard shows all of its own, `, h("code", null, "stream-app models ls MODULE:APP"), " all there are."));
}

export function costs(board) {
  const { detail } = board, memory = detail.memory_bytes;
  fill("costs", "Costs", h("h3", null, "Time, by stage"), detail.costs.length ? h("ol", { class: "bars" }, detail.costs.map(([stage, share]) =>
    h("li", { "data-key": stage }, h("span", { class: "name" }, stage), bar(share / Math.max(1, detail.costs[0][1]), stage), h("b", null, `${(share * 100).toFixed(1)} %`)))) : h("p", { class: "none" }, UNKNOWN),
  h("p", { class: "dim" }, "Of the wall time of one core, over the newest ten seconds; shards added up."),
  h("h3", null, "State"), pairs([["Snapshot", known(detail.snapshot.age_s) ? `${seconds(detail.snapshot.age_s)} old` : "none yet", detail.snapshot.too_dear ? "costs more than its bound" : ""], ["Snapshot size", detail.snapshot.bytes ? bytes(detail.snapshot.bytes) : UNKNOWN],
    ["Models in memory", memory ? bytes(Object.values(memory).reduce((a, b) => a + b, 0)) : UNKNOWN], ["Entities", count(detail.entities)], ["Redis view", detail.view_behind ? `${detail.view_behind} behind` : "current"], ["Learners", detail.owners.join(", ")]]));
}

export function shards(board) {
  $("shards").hidden = board.shards < 2;
  if (board.shards < 2) return;
  const rows = board.summary.map((one) => h("tr", { "data-key": `s${one.shard}` }, h("th", { scope: "row" }, button(`Shard ${one.shard}`, "shard", { shard: one.shard })), h("td", null, one.serving), h("td", { class: "number" }, score(one.score)), h("td", { class: "number" }, score(one.baseline)),
    h("td", { class: "number" }, perSecond(one.rate)), h("td", { class: "number" }, one.lag === null ? UNKNOWN : `${count(one.lag)}, ${seconds(one.lag_s)}`), h("td", null, one.paused ? tag("paused") : board.now_ms - one.time_ms > 25000 ? tag("silent", "warning") : one.idle ? tag("idle", "idle") : tag("live", "serving")), h("td", { class: "dim" }, one.owner)));
  fill("shards", "Shards", table("Shards", ["Shard", "Serving", board.score, "Baseline", "Events/s", "Behind", "State", "Learner"], rows, true));
}
