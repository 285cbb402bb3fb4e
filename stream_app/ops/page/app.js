// The page: one stream of one board, kept up to date and drawn at most once a frame.
import { $, children, h } from "./dom.js";
import { merge } from "./charts.js";
import { askToken, order } from "./orders.js";
import * as draw from "./sections.js";
import { Stream, headers, token } from "./stream.js";
import * as trends from "./trends.js";
import { seconds, zone } from "./words.js";

const KEEP = 200;
const page = { apps: [], app: "", shard: null, board: null, stream: null, link: "wait", why: "", lastMs: 0, said: "", span: "near", dirty: new Set(), seen: new Set(), turn: 0, runbook: "", orders: "" };

function remember() {
  const shard = page.shard === null ? "" : `&shard=${page.shard}`;
  history.replaceState(null, "", `#app=${encodeURIComponent(page.app)}${shard}`);
}

async function start() {
  let found;
  try {
    const response = await fetch("/v1/boards", { headers: headers() });
    found = await response.json();
    if (response.status === 401 || response.status === 403) return denied(found);
    if (!response.ok) throw new Error(found.detail);
  } catch (error) {
    lost({ why: error.message });
    setTimeout(start, 2000);
    return;
  }
  Object.assign(page, { apps: found.apps, runbook: found.runbook, orders: found.orders });
  const asked = new URLSearchParams(location.hash.slice(1));
  const app = page.apps.find((one) => one.app === (page.app || asked.get("app"))) || page.apps[0];
  if (!app) return;
  const shard = Number(asked.get("shard"));
  choose(app.app, asked.has("shard") && Number.isInteger(shard) && shard < app.shards ? shard : null);
}

// An address may bring the token along; it is taken out of it at once.
function takeToken() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (!asked.has("token")) return;
  token.set(asked.get("token"));
  asked.delete("token");
  history.replaceState(null, "", `#${asked}`);
}

function denied(problem) {
  const text = "Reading needs a token", remedy = "Give one of STREAM_APP_OPS__TOKENS_READ or STREAM_APP_OPS__TOKENS_ADMIN, as they are set where `stream-app ops` runs.";
  page.link = "denied";
  $("link").dataset.state = "lost";
  $("link-text").textContent = "no access";
  draw.health({ findings: [], app: page.app }, { state: "denied", text, remedy });
  if (!$("dialog").open) askToken(token.get() ? `Refused: ${problem.detail}.` : `${text}. ${remedy}`, start);
}

// A single shard is shown as such: its slots can be distinguished.
function choose(name, shard) {
  const app = page.apps.find((one) => one.app === name);
  Object.assign(page, { app: name, shard: app.shards === 1 ? 0 : shard, board: null });
  remember();
  if (page.stream) page.stream.end();
  const query = page.shard === null ? "" : `?shard=${page.shard}`;
  page.stream = new Stream(`/v1/board/${encodeURIComponent(name)}/events${query}`, take, link);
  $("title").textContent = `${name}: operations`;
  children($("apps"), page.apps.map((one) => h("li", { "data-key": one.app }, h("button", { type: "button", "data-action": "app", "data-app": one.app, "aria-current": one.app === name ? "page" : null }, one.app))));
  $("pick").hidden = app.shards < 2;
  children($("shard"), [h("option", { value: "" }, "all"), ...[...Array(app.shards).keys()].map((n) => h("option", { value: n }, String(n)))]);
  $("shard").value = page.shard === null ? "" : String(page.shard);
}

function take(kind, data) {
  page.lastMs = performance.now();
  if (kind === "snapshot" || !page.board) {
    page.board = { models: [], ...data };
    everything();
  } else {
    const { alerts, letters, models, series, ...now } = data;
    Object.assign(page.board, now);
    if (models) {
      page.board.models = models;
      page.dirty.add("lineage");
    }
    if (alerts.length) upsert("alerts", alerts, (one) => one.id);
    if (letters.length) upsert("letters", letters, (one) => `${one.partition}:${one.offset}`);
    for (const span of Object.keys(series)) merge(page.board.series[span], series[span]);
  }
  requestAnimationFrame(show);
}

function everything() {
  for (const name of Object.keys(PARTS)) page.dirty.add(name);
}

function upsert(name, more, key) {
  const kept = new Map(page.board[name].map((one) => [key(one), one]));
  for (const one of more) kept.set(key(one), one);
  page.board[name] = [...kept.values()].sort((a, b) => b.time_ms - a.time_ms).slice(0, KEEP);
  page.dirty.add(name);
}

function link(state, detail) {
  if (state === "denied") return denied(detail);
  if (state === "lost") return lost(detail);
  const back = page.link === "lost";
  page.link = "live";
  $("link").dataset.state = "live";
  $("link-text").textContent = "live";
  document.body.dataset.link = "live";
  if (back) show();
}

function lost({ why }) {
  page.link = "lost";
  page.why = why;
  document.body.dataset.link = "lost";
  gone();
}

// While nothing comes: how old is what stands here, and when it is tried again.
function gone() {
  if (page.link !== "lost") return;
  const now = performance.now(), age = page.lastMs ? `last data ${seconds((now - page.lastMs) / 1000)} ago` : "no data yet";
  const text = `Disconnected: ${age}, reconnecting`, remedy = `If it lasts, see whether \`stream-app ops\` runs (${page.why}). Learners go on without it.`;
  $("link").dataset.state = "lost";
  $("link-text").textContent = age;
  draw.health({ state: "lost", findings: [], app: page.app }, { text, remedy });
  announce("lost", "Disconnected from the operations server.");
}

function announce(state, text) {
  if (page.said === state) return;
  page.said = state;
  $("announce").textContent = text;
}

function show() {
  const board = page.board;
  if (!board || page.link === "lost") return;
  draw.health({ ...board.health, app: board.app });
  announce(board.health.state, `${board.health.state}: ${board.health.sentence}`);
  const empty = !board.detail;
  $("empty").hidden = !empty;
  $("clock").textContent = empty ? "" : `Times are in ${zone()}. What is marked "event time", and since when a model serves, is as the records carry it; all else is by the clock.`;
  $("board").hidden = empty;
  if (empty) return draw.empty(board.app);
  for (const name of Object.keys(PARTS)) if (page.dirty.has(name) || page.seen.has(name)) PARTS[name](board);
  // What is out of sight is drawn in turn, one part a second, for who reads without looking.
  const turn = LIVE[page.turn++ % LIVE.length];
  if (!page.seen.has(turn)) PARTS[turn](board);
  page.dirty.clear();
}

const PARTS = {
  ...Object.fromEntries(["serving", "figures", "models", "labels", "drift", "costs", "shards", "letters"].map((name) => [name, draw[name]])),
  scores: (board) => trends.scores(board, page.span), flow: (board) => trends.flow(board, page.span), weights: (board) => trends.weights(board, page.span),
  figures: (board) => draw.figures(board, page.orders), models: (board) => draw.models(board, page.orders),
  alerts: (board) => page.dirty.has("alerts") && draw.alerts(board, page.runbook),
  lineage: (board) => page.dirty.has("lineage") && draw.lineage(board),
};
const LIVE = Object.keys(PARTS).filter((name) => name !== "alerts" && name !== "lineage");

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting === page.seen.has(target.id)) continue;
    if (isIntersecting) page.seen.add(target.id);
    else page.seen.delete(target.id);
    if (isIntersecting && page.board && page.board.detail) PARTS[target.id](page.board);
  }
}, { rootMargin: "120px" });

document.addEventListener("click", (event) => {
  const at = event.target.closest("[data-action]");
  if (!at) return;
  const { action, ...on } = at.dataset;
  if (action === "app") choose(on.app, null);
  else if (action === "shard") choose(page.app, Number(on.shard));
  else if (action === "span") {
    page.span = on.span;
    everything();
    show();
  } else order(page.app, action, on, page.shard, page.orders);
});

document.addEventListener("toggle", (event) => {
  if (event.target.className === "numbers" && event.target.open && page.board) PARTS[event.target.closest("section").id](page.board);
}, true);

$("shard").addEventListener("change", (event) => choose(page.app, event.target.value === "" ? null : Number(event.target.value)));
$("token").addEventListener("click", () => askToken("", start));

function themed() {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  $("theme").setAttribute("aria-pressed", String(dark));
  return dark;
}

$("theme").addEventListener("click", () => {
  const theme = themed() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  themed();
  everything();
  show();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (themed(), everything(), show()));

themed();
for (const name of Object.keys(PARTS)) watcher.observe($(name));
setInterval(gone, 1000);
takeToken();
start();
