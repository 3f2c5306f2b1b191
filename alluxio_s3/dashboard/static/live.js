// The panels: each is told every point.

import { LineChart } from "./charts.js";
import { breakable, byteRate, bytes, count, element, facts, meter, percent, rate, seconds, table } from "./format.js";

const KEPT = 300;
const MOUNTS_EVERY = 15000;
const points = [];
const panel = (name) => document.querySelector(`[data-panel="${name}"]`);
const body = (name) => panel(name).querySelector(".body");
const empty = (text) => element("p", { class: "empty" }, text);
const sum = (rates) => Object.values(rates).reduce((total, one) => total + one, 0);

// The actions that were asked for most in what is shown, so that lines keep their colours for a while.
function actions(seen) {
  const totals = new Map();
  for (const point of seen) for (const [name, value] of Object.entries(point.requests)) totals.set(name, (totals.get(name) ?? 0) + value);
  const first = [...totals].sort((one, other) => other[1] - one[1]).slice(0, 5).map(([name]) => name);
  return first.map((name) => [name, (point) => point.requests[name] ?? 0]);
}

const charts = {
  throughput: ["Throughput", [["Out", (point) => point.out], ["In", (point) => point.in]], byteRate, { least: 1024, binary: true }],
  requests: ["Requests by action", actions, rate, { least: 1 }],
  latency: ["First byte", [["p50", (point) => point.first_byte.p50], ["p90", (point) => point.first_byte.p90], ["p99", (point) => point.first_byte.p99]], seconds, { least: 0.001 }],
  hits: ["Reads that the cache answered", [["All mounts", (point) => point.cache?.hits[""] ?? null]], percent, { top: 1 }],
};

const tiles = [
  ["Out", (point) => byteRate(point.out)],
  ["In", (point) => byteRate(point.in)],
  ["Requests", (point) => rate(sum(point.requests))],
  ["In flight", (point) => count(point.process.in_flight)],
  ["From the cache", (point) => percent(point.cache?.hits[""])],
  ["First byte, p99", (point) => seconds(point.first_byte.p99)],
  ["Errors", (point) => rate(sum(point.failing))],
];

function showTiles(point) {
  document.getElementById("tiles").replaceChildren(...tiles.map(([title, read]) => {
    const [, figure, unit] = read(point).match(/^(\S+?)(?:(?:\s|(?=\/))(.*))?$/);
    return element("div", {}, element("dt", {}, title), element("dd", {}, figure, unit ? element("small", {}, unit) : null));
  }));
}

const panels = {
  hot(point) {
    if (!point.hot.length) return empty("Nothing was asked for lately.");
    const most = point.hot[0].rate;
    return table(["Key", "#Requests", "#Bytes"], point.hot.slice(0, 8).map((one) => [
      element("div", {}, element("a", { href: `#/explain/${encodeURIComponent(one.key)}` }, ...breakable(one.key)), meter(one.rate / most, `${one.key}, beside the first`)), rate(one.rate), byteRate(one.bytes)]));
  },
  errors(point) {
    const codes = Object.entries(point.errors).sort((one, other) => other[1] - one[1]).slice(0, 12);
    return codes.length ? table(["Code", "#Now", "#Since the start"], codes.map(([code, total]) => [code, rate(point.failing[code] ?? 0), count(total)])) : empty("None since the start.");
  },
  cache(point) {
    const cache = point.cache;
    if (!cache) return empty("No cache is configured.");
    const share = cache.size ? cache.used / cache.size : 0;
    const mounts = Object.entries(cache.hits).filter(([mount]) => mount).map(([mount, ratio]) => [`Hits of ${mount}`, percent(ratio)]);
    return element("div", {}, element("div", { class: "small" }, `${bytes(cache.used)} of ${bytes(cache.size)}`), meter(share, "How full the cache is"), facts([
      ["Pages kept", count(cache.pages)], ["Fills", `${rate(cache.fills)}, ${byteRate(cache.filled)}`],
      ["Fills and loads under way", `${count(cache.pages_in_flight)} pages, ${bytes(cache.flight_bytes)}`], ["Evictions", rate(cache.evictions)], ...mounts]));
  },
  stores(point) {
    const stores = Object.entries(point.stores);
    return stores.length ? table(["Mount", "#Calls", "#Read", "#Written"], stores.map(([mount, one]) => [mount, rate(one.calls), byteRate(one.read), byteRate(one.written)])) : empty("None has been asked yet.");
  },
  process(point) {
    const one = point.process;
    return facts([["Processes", count(one.processes)], ["Connections", count(one.connections)], ["Requests in flight", count(one.in_flight)], ["Processor", `${one.processor.toFixed(2)} of a core`],
      ["Memory", bytes(one.memory)], ["Event loop late, p99", seconds(one.lag)]]);
  },
  cluster(point) {
    if (!point.cluster) return null;
    const members = point.cluster.filter((one) => one.name === "member_weight");
    const whole = members.reduce((total, one) => total + one.value, 0);
    const figures = point.cluster.filter((one) => one.name !== "member_weight");
    return element("div", {}, facts(figures.map((one) => [element("span", { title: one.meaning }, one.name.replaceAll("_", " ")), count(one.value)])),
      table(["Worker", "Address", "#Of the ring, about"], members.map((one) => [element("span", {}, ...breakable(one.labels.worker)), element("span", {}, ...breakable(one.labels.address)), percent(one.value / whole)])));
  },
  redirects: (point) => point.redirects && (point.redirects.length ? table(["Decision", "Because", "#Now", "#Since the start"], point.redirects.map((one) => [one.decision, one.reason, rate(one.rate), count(one.total)])) : empty("None since the start.")),
};

function show(point) {
  showTiles(point);
  for (const [name, render] of Object.entries(panels)) {
    const made = render(point);
    panel(name).hidden = !made;
    if (made && !keepsFocus(name)) body(name).replaceChildren(made);
  }
  panel("hits").hidden = !points.some((one) => one.cache);
}

// What somebody is about to follow by keyboard is not taken away under the fingers.
const keepsFocus = (name) => body(name).contains(document.activeElement);

function health(kind, text, reasons = {}) {
  const pill = document.getElementById("health");
  if (pill.textContent !== text) { pill.textContent = text; pill.className = `pill ${kind}`; }
  notice("reasons", reasons);
}

function notice(id, troubles) {
  const box = document.getElementById(id);
  const told = Object.entries(troubles).map(([what, why]) => `${what}: ${why}`).join("; ");
  if (box.textContent !== told) box.textContent = told;
  box.hidden = !told;
}

async function showMounts() {
  try {
    const answer = await fetch("/dashboard/mounts");
    const { mounts } = await answer.json();
    body("mounts").replaceChildren(mounts.length ? table(["Path", "Under-store"], mounts.map((one) => [one.path,
      element("div", {}, one.uri, element("div", {}, ...Object.entries(one.options).map(([name, value]) => element("span", { class: "tag" }, `${name}=${value}`))),
        one.trouble ? element("div", { class: "trouble" }, one.trouble) : null)])) : empty("Nothing is mounted."));
  } catch { /* the feed says that the daemon is away */ }
}

export function live() {
  const drawn = Object.entries(charts).map(([name, [title, series, figure, more]]) => new LineChart(panel(name).querySelector(".chart"), title, series, figure, more));
  const update = () => {
    points.splice(0, Math.max(0, points.length - KEPT));
    if (document.hidden || !points.length) return;
    for (const chart of drawn) chart.update(points);
    show(points.at(-1));
  };
  const feed = new EventSource("/dashboard/feed");
  feed.addEventListener("past", (event) => {
    points.splice(0, points.length, ...JSON.parse(event.data));
    update();
  });
  feed.addEventListener("point", (event) => {
    const point = JSON.parse(event.data);
    points.push(point);
    const ready = Object.keys(point.reasons).length === 0;
    health(ready ? "good" : "bad", ready ? "ready" : "not ready", point.reasons);
    notice("warnings", point.warnings);
    update();
  });
  feed.addEventListener("error", () => health("bad", "no answer"));
  document.addEventListener("visibilitychange", update);
  showMounts();
  setInterval(() => { if (!document.hidden) showMounts(); }, MOUNTS_EVERY);
}
