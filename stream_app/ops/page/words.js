// Numbers and times as a person reads them; null is "not known", never 0.

export const UNKNOWN = "not known";
const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value) {
  return value === null || value === undefined ? UNKNOWN : plain.format(value);
}

export function perSecond(value) {
  if (value === null || value === undefined) return UNKNOWN;
  return value >= 100 ? plain.format(value) : String(Math.round(value * 10) / 10);
}

export function score(value) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) < 10 ? value.toFixed(3) : plain.format(value);
}

export const known = (value) => value !== null && value !== undefined;

export function share(value) {
  return known(value) ? `${(100 * value).toFixed(1)} %` : "–";
}

export function bytes(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) [value, at] = [value / 1024, at + 1];
  return `${value < 10 && at ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

export function seconds(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 120) return `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86400)} days`;
}

// The one clock of the page: the browser's, named.
export function zone() {
  const offset = -new Date().getTimezoneOffset(), hours = Math.floor(Math.abs(offset) / 60), minutes = Math.abs(offset) % 60;
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
  if (name === "UTC") return name;
  return `${name ? `${name}, ` : ""}UTC${offset < 0 ? "−" : "+"}${pad(hours)}:${pad(minutes)}`;
}

const pad = (n) => String(n).padStart(2, "0");

// 14:03:05, with the date where it is not today's.
export function moment(ms) {
  if (ms === null || ms === undefined) return UNKNOWN;
  if (ms <= 0) return "the first record";
  const at = new Date(ms), now = new Date();
  const clock = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  if (at.toDateString() === now.toDateString()) return clock;
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${clock}`;
}

export function ago(ms, now) {
  return ms > 0 && now - ms >= 0 ? `${seconds((now - ms) / 1000)} ago` : "";
}
