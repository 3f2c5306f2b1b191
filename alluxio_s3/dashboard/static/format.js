// Figures as people read them, and elements as scripts make them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(value) {
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export const byteRate = (value) => `${bytes(value)}/s`;

export function count(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toFixed(value >= 10 ? 1 : 2);
}

export const rate = (value) => `${count(value)}/s`;

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 1) return `${(value * 1e3).toFixed(value < 0.01 ? 1 : 0)} ms`;
  return `${value.toFixed(value < 10 ? 1 : 0)} s`;
}

export const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(1).replace(/\.0$/, "")} %`);

export function when(value) {
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

// element("td", {class: "number"}, "text", child, ...): text is never parsed as HTML.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function table(titles, rows) {
  const numeric = titles.map((title) => title.startsWith("#"));
  const cell = (kind, value, index) => element(kind, { ...(numeric[index] ? { class: "number" } : {}), ...(kind === "th" ? { scope: "col" } : {}) }, value);
  return element("table", {},
    element("thead", {}, element("tr", {}, ...titles.map((title, index) => cell("th", title.replace(/^#/, ""), index)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((value, index) => cell("td", value, index))))));
}

export const facts = (pairs) => element("dl", { class: "facts" }, ...pairs.flatMap(([title, value]) => [element("dt", {}, title), element("dd", {}, value)]));

export function meter(share, label) {
  const inside = element("div");
  inside.style.width = `${Math.max(0, Math.min(100, share * 100))}%`;
  return element("div", { class: "meter", role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(Math.round(share * 100)) }, inside);
}

// Long names may break behind their separators.
export const breakable = (text) => text.split(/(?<=[/._-])/).flatMap((piece, index) => (index ? [document.createElement("wbr"), piece] : [piece]));

let fading;
export function toast(text) {
  const box = document.getElementById("toast");
  box.textContent = text;
  // In the top layer, where it is seen beside a dialog.
  if (box.matches(":popover-open")) box.hidePopover();
  box.showPopover();
  clearTimeout(fading);
  fading = setTimeout(() => { box.textContent = ""; box.hidePopover(); }, 6000);
}
