// The bucket browser: what is there, uploads, new buckets. What there is to an object is in object.js.

import { bytes, element, toast, when } from "./format.js";
import { forget, openObject } from "./object.js";
import { ask, buckets, isSignedIn, list, session, upload } from "./s3.js";

const box = document.getElementById("listing");
const drop = document.getElementById("drop");
const picker = document.getElementById("files");
let place = { bucket: "", prefix: "" };
let shown = 0;

const href = (bucket, prefix = "") => `#/buckets/${[bucket, prefix].filter(Boolean).map(encodeURIComponent).join("/")}`;

function crumbs() {
  const parts = [["All buckets", "#/buckets"]];
  if (place.bucket) parts.push([place.bucket, href(place.bucket)]);
  let prefix = "";
  for (const piece of place.prefix.split("/").slice(0, -1)) {
    prefix += `${piece}/`;
    parts.push([piece || "(empty)", href(place.bucket, prefix)]);
  }
  document.getElementById("crumbs").replaceChildren(...parts.flatMap(([title, where], index) => [
    index ? element("span", { class: "slash", "aria-hidden": "true" }, "/") : null,
    index === parts.length - 1 ? element("span", { "aria-current": "page" }, title) : element("a", { href: where }, title)]).filter(Boolean));
}

function rows(found) {
  const folders = found.folders.map((prefix) => element("tr", {},
    element("td", {}, element("span", { class: "kind", "aria-hidden": "true" }, "▸"), element("a", { href: href(place.bucket, prefix) }, prefix.slice(place.prefix.length))),
    element("td", { class: "number" }, ""), element("td", { class: "when" }, "")));
  const objects = found.objects.map((one) => element("tr", {},
    element("td", {}, element("span", { class: "kind", "aria-hidden": "true" }, "·"),
      element("button", { class: "link", type: "button", onclick: () => openObject(place.bucket, one, again) }, one.key.slice(place.prefix.length))),
    element("td", { class: "number" }, bytes(one.size)), element("td", { class: "when" }, when(one.modified))));
  return [...folders, ...objects];
}

const head = (...titles) => element("thead", {}, element("tr", {}, ...titles.map(([title, kind]) => element("th", { scope: "col", class: kind }, title))));

async function showObjects(turn) {
  let found = await list(place.bucket, place.prefix, "");
  if (turn !== shown) return;
  const lines = element("tbody", {}, ...rows(found));
  const more = element("button", { type: "button", class: "quiet", hidden: !found.next }, "Show more");
  more.addEventListener("click", async () => {
    more.disabled = true;
    try {
      found = await list(place.bucket, place.prefix, found.next);
      if (turn !== shown) return;
      lines.append(...rows(found));
      more.hidden = !found.next;
    } catch (problem) { toast(problem.message); }
    more.disabled = false;
  });
  if (!lines.childElementCount) box.replaceChildren(element("p", { class: "empty" }, "Nothing is here yet. Drop files to upload them."));
  else box.replaceChildren(element("table", { class: "listing" }, head(["Name"], ["Size", "number"], ["Changed", "when"]), lines), more);
}

async function showAll(turn) {
  const found = await buckets();
  if (turn !== shown) return;
  const lines = found.map((one) => element("tr", {},
    element("td", {}, element("span", { class: "kind", "aria-hidden": "true" }, "▸"), element("a", { href: href(one.name) }, one.name)), element("td", { class: "when" }, when(one.created))));
  box.replaceChildren(lines.length ? element("table", { class: "listing" }, head(["Bucket"], ["Made", "when"]), element("tbody", {}, ...lines)) : element("p", { class: "empty" }, "There are no buckets that you may see."));
}

async function again() {
  shown += 1;
  const turn = shown;
  crumbs();
  document.getElementById("upload").hidden = !place.bucket;
  document.getElementById("new-bucket").hidden = Boolean(place.bucket);
  document.getElementById("who").textContent = isSignedIn() ? session.accessKey || "Token" : "Sign in";
  try {
    await (place.bucket ? showObjects(turn) : showAll(turn));
  } catch (problem) {
    if (turn !== shown) return;
    const signIn = element("button", { type: "button", class: "strong", onclick: signing }, "Sign in");
    box.replaceChildren(element("p", { class: "trouble" }, problem.message), ...(isSignedIn() ? [] : [element("p", {}, signIn)]));
  }
}

export function showBuckets([bucket = "", prefix = ""]) {
  place = { bucket, prefix };
  box.replaceChildren(element("p", { class: "empty" }, "Asking…"));
  again();
}

// Uploads: each file has a line with its progress, and can be stopped.

async function send(bucket, prefix, file, name) {
  const stopping = new AbortController();
  const progress = element("progress", { max: String(Math.max(file.size, 1)), value: "0", "aria-label": `Upload of ${name}` });
  const told = element("span", { class: "what muted" }, "waiting");
  const stop = element("button", { type: "button", class: "quiet", onclick: () => stopping.abort() }, "Stop");
  const line = element("div", { class: "card upload" }, element("span", { class: "name" }, name), element("span", { class: "row" }, told, stop), progress);
  document.getElementById("uploads").prepend(line);
  const end = (kind, text) => {
    line.classList.add(kind);
    told.textContent = text;
    stop.textContent = "Hide";
    stop.onclick = () => line.remove();
  };
  try {
    await upload(bucket, prefix + name, file, (sent) => {
      progress.value = sent;
      told.textContent = `${bytes(sent)} of ${bytes(file.size)}`;
    }, stopping.signal);
    progress.value = progress.max;
    end("done", `${bytes(file.size)}, whole`);
  } catch (problem) {
    end("failed", problem.name === "AbortError" ? "stopped" : problem.message);
  }
}

// What of a drop is files, those of dropped directories with their paths.
async function dropped(items) {
  const found = [];
  const walk = async (entry, prefix) => {
    if (entry.isFile) found.push([await new Promise((resolve, reject) => entry.file(resolve, reject)), prefix + entry.name]);
    else {
      const reader = entry.createReader();
      for (let batch; (batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length;) {
        for (const one of batch) await walk(one, `${prefix}${entry.name}/`);
      }
    }
  };
  // The list is only good until this function first waits.
  const entries = [...items].filter((item) => item.kind === "file").map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  for (const [entry, file] of entries) {
    if (entry?.isDirectory) await walk(entry, "");
    else if (file) found.push([file, file.name]);
  }
  return found;
}

async function sendAll(files) {
  const { bucket, prefix } = place;
  if (!bucket) { toast("Open a bucket first: files go where you are."); return; }
  for (const [file, name] of files) await send(bucket, prefix, file, name);
  if (place.bucket === bucket && place.prefix === prefix) again();
}

function dialog(id) {
  const found = document.getElementById(id);
  found.returnValue = "";
  found.showModal();
  return new Promise((resolve) => found.addEventListener("close", () => resolve(found.returnValue === "ok"), { once: true }));
}

async function signing() {
  const mode = session.mode;
  const trusted = mode === "SIMPLE" || mode === "AUDIT";
  const box = document.getElementById("session");
  box.querySelector('[data-for="token"]').hidden = mode !== "OIDC";
  box.querySelector('[data-for="keys"]').hidden = mode === "OIDC";
  box.querySelector('[data-for="secret"]').hidden = mode === "SIMPLE";
  document.getElementById("access-key-label").textContent = trusted ? "User" : "Access key";
  document.getElementById("session-mode").textContent = trusted
    ? "This daemon believes who you say you are. Without a name it is the daemon's own user who asks."
    : mode === "OIDC" ? "This daemon asks for a token of your identity provider." : "This daemon verifies signatures. The secret key signs, and is not sent.";
  const fields = { "access-key": "accessKey", "secret-key": "secretKey", "session-token": "token", bearer: "bearer", endpoint: "endpoint" };
  for (const [id, name] of Object.entries(fields)) document.getElementById(id).value = session[name];
  if (!await dialog("session")) return;
  for (const [id, name] of Object.entries(fields)) session[name] = document.getElementById(id).value.trim();
  forget();
  again();
}

async function newBucket() {
  const input = document.getElementById("ask-name");
  input.value = "";
  if (!await dialog("ask")) return;
  const name = input.value.trim();
  try {
    await ask("PUT", name);
    location.hash = href(name);
  } catch (problem) { toast(problem.message); }
}

export function startBrowser() {
  document.getElementById("who").addEventListener("click", signing);
  document.getElementById("new-bucket").addEventListener("click", newBucket);
  document.getElementById("upload").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => { sendAll([...picker.files].map((file) => [file, file.name])); picker.value = ""; });
  let depth = 0;
  const over = (change) => { depth = change ? Math.max(0, depth + change) : 0; drop.classList.toggle("over", depth > 0); };
  drop.addEventListener("dragenter", (event) => { event.preventDefault(); over(1); });
  drop.addEventListener("dragleave", () => over(-1));
  drop.addEventListener("dragover", (event) => event.preventDefault());
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    over(0);
    try { await sendAll(await dropped(event.dataTransfer.items)); } catch (problem) { toast(problem.message); }
  });
  // A file that misses the mark must not take the place of the page.
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
}
