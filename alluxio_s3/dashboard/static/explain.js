// All that there is to know of a key and the cache.

import { element, facts } from "./format.js";

const form = document.getElementById("explain-form");
const input = document.getElementById("explain-name");

export async function explanation(name) {
  const answer = await fetch(`/dashboard/explain?name=${encodeURIComponent(name)}`);
  const told = await answer.json();
  if (told.problem) return element("p", { class: "empty" }, `Nothing to explain: ${told.problem}.`);
  return facts(Object.entries(told.explained).filter(([, value]) => value !== null).map(([title, value]) => [title, String(value)]));
}

export function startExplain() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const hash = `#/explain/${encodeURIComponent(input.value.trim())}`;
    if (location.hash === hash) showExplain([input.value.trim()]); else location.hash = hash;
  });
}

export async function showExplain([name]) {
  const box = document.getElementById("explained");
  if (!name) { box.replaceChildren(); return; }
  input.value = name;
  box.replaceChildren(element("p", { class: "empty" }, "Asking…"));
  try {
    const found = await explanation(name);
    if (input.value === name) box.replaceChildren(element("section", { class: "card", "aria-label": name }, found));
  } catch {
    box.replaceChildren(element("p", { class: "trouble" }, "The daemon gives no answer."));
  }
}
