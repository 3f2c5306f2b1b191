// An object: what it is, a preview, its tags, a link to share, what the cache has of it, its end.

import { explanation } from "./explain.js";
import { breakable, bytes, element, facts, toast, when } from "./format.js";
import { ask, isSigning, presigned, session, setTags, tags } from "./s3.js";

const sheet = document.getElementById("object");
const body = document.getElementById("object-body");
const IMAGES = /^image\/(png|jpeg|gif|webp|avif|svg\+xml|bmp|x-icon)$/;
const PICTURE_BYTES = 20 << 20, TEXT_BYTES = 64 << 10;
const LASTING = [["15 minutes", 900], ["1 hour", 3600], ["12 hours", 43200], ["7 days", 604800]];
let picture = "";

function dropPicture() {
  if (picture) URL.revokeObjectURL(picture);
  picture = "";
}

export function forget() { sheet.close(); }

const section = (title, ...children) => element("section", {}, element("h3", {}, title), ...children);

async function preview(bucket, one, headers) {
  const kind = (headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
  if (IMAGES.test(kind)) {
    if (one.size > PICTURE_BYTES) return element("p", { class: "empty" }, "The picture is too large for a preview.");
    const data = await (await ask("GET", bucket, one.key)).arrayBuffer();
    dropPicture();
    picture = URL.createObjectURL(new Blob([data], { type: kind }));
    return element("div", { class: "preview" }, element("img", { src: picture, alt: `Preview of ${one.key}` }));
  }
  if (!one.size) return element("p", { class: "empty" }, "The object is empty.");
  const query = one.size > TEXT_BYTES ? { headers: { range: `bytes=0-${TEXT_BYTES - 1}` } } : {};
  const data = await (await ask("GET", bucket, one.key, query)).arrayBuffer();
  const text = new TextDecoder("utf-8").decode(data);
  // A character that the range cut in two is no sign of bytes that are no text.
  if (/[\0-\x08\x0e-\x1a\ufffd]/.test(text.slice(0, -3))) return element("p", { class: "empty" }, "There is no preview of what is neither text nor a picture.");
  const rest = one.size > data.byteLength ? element("p", { class: "muted small" }, `The first ${bytes(data.byteLength)} of ${bytes(one.size)}.`) : null;
  return element("div", {}, element("div", { class: "preview", tabindex: "0", role: "region", "aria-label": "Preview" }, element("pre", {}, text)), rest);
}

function tagRow(name, value, changed) {
  const row = element("div", { class: "row" },
    element("input", { "aria-label": "Name of the tag", value: name, maxlength: "128", spellcheck: "false" }),
    element("input", { "aria-label": "Value of the tag", value, maxlength: "256", spellcheck: "false" }),
    element("button", { type: "button", class: "quiet", "aria-label": `Remove the tag ${name}`, onclick: () => { row.remove(); changed(); } }, "Remove"));
  return row;
}

async function tagEditor(bucket, key) {
  const found = await tags(bucket, key);
  const save = element("button", { type: "button", class: "strong", disabled: true }, "Save tags");
  const changed = () => { save.disabled = false; };
  const rows = element("div", { class: "tags", oninput: changed }, ...found.map(([name, value]) => tagRow(name, value, changed)));
  const add = element("button", { type: "button", onclick: () => { rows.append(tagRow("", "", changed)); rows.lastElementChild.querySelector("input").focus(); changed(); } }, "Add a tag");
  save.addEventListener("click", async () => {
    const pairs = [...rows.children].map((row) => [...row.querySelectorAll("input")].map((input) => input.value)).filter(([name]) => name);
    save.disabled = true;
    try { await setTags(bucket, key, pairs); toast("The tags are saved."); } catch (problem) { save.disabled = false; toast(problem.message); }
  });
  return element("div", {}, rows, element("div", { class: "row" }, add, save));
}

function sharing(bucket, one) {
  if (!isSigning() || !session.accessKey) return element("p", { class: "empty" }, isSigning() ? "Sign in to share a link." : "With a token there are no links to share.");
  if (!session.endpoint) return element("p", { class: "empty" }, "Say by which address S3 is reached: Sign in.");
  const lasting = element("select", { "aria-label": "How long the link is good" }, ...LASTING.map(([title, value]) => element("option", { value }, title)));
  lasting.value = "3600";
  const link = element("input", { readonly: true, "aria-label": "The link", id: "shared-link" });
  const open = element("a", { target: "_blank", rel: "noopener noreferrer", hidden: true, id: "shared-open" }, "Open");
  const copy = element("button", { type: "button", hidden: true, onclick: async () => {
    link.select();
    try { await navigator.clipboard.writeText(link.value); toast("Copied."); } catch { toast("Copy what is marked."); }
  } }, "Copy");
  const make = element("button", { type: "button", id: "share", onclick: async () => {
    try {
      link.value = await presigned(bucket, one.key, Number(lasting.value));
      open.href = link.value;
      open.hidden = copy.hidden = false;
      link.select();
    } catch (problem) { toast(problem.message); }
  } }, "Make a link");
  return element("div", {}, element("div", { class: "row" }, lasting, make), element("p", { class: "muted small" }, "Whoever has the link can read the object."), element("div", { class: "row" }, link, copy, open));
}

async function download(bucket, one) {
  const name = one.key.split("/").pop();
  const anchor = element("a", { download: name, rel: "noopener noreferrer" });
  if (isSigning() && session.accessKey && session.endpoint) {
    const disposition = `attachment; filename*=UTF-8''${encodeURIComponent(name).replace(/['()*]/g, (found) => `%${found.charCodeAt(0).toString(16)}`)}`;
    anchor.href = await presigned(bucket, one.key, 900, { "response-content-disposition": disposition });
  } else {
    anchor.href = URL.createObjectURL(await (await ask("GET", bucket, one.key)).blob());
    setTimeout(() => URL.revokeObjectURL(anchor.href), 60000);
  }
  anchor.click();
}

function remove(bucket, one, done) {
  const box = document.getElementById("confirm");
  document.getElementById("confirm-text").textContent = `Delete ${bucket}/${one.key}? It can't be had back.`;
  box.returnValue = "";
  box.showModal();
  box.addEventListener("close", async () => {
    if (box.returnValue !== "ok") return;
    try {
      await ask("DELETE", bucket, one.key);
      sheet.close();
      toast(`${one.key} is deleted.`);
      done();
    } catch (problem) { toast(problem.message); }
  }, { once: true });
}

// A part of the sheet, which says itself what is in its way.
function part(title, making) {
  const box = element("div", {}, element("p", { class: "empty" }, "Asking…"));
  making().then((made) => box.replaceChildren(made), (problem) => box.replaceChildren(element("p", { class: "trouble" }, problem.message)));
  return section(title, box);
}

export async function openObject(bucket, one, done) {
  document.getElementById("object-title").replaceChildren(...breakable(one.key));
  body.replaceChildren(element("p", { class: "empty" }, "Asking…"));
  sheet.showModal();
  try {
    const { headers } = await ask("HEAD", bucket, one.key);
    const own = [...headers].filter(([name]) => name.startsWith("x-amz-meta-"));
    const told = [["Size", `${bytes(one.size)} (${one.size.toLocaleString("en")} bytes)`], ["Type", headers.get("content-type") ?? "–"], ["Changed", when(headers.get("last-modified"))], ["ETag", (headers.get("etag") ?? "–").replaceAll('"', "")], ...own];
    const buttons = element("div", { class: "row above" },
      element("button", { type: "button", class: "strong", onclick: () => download(bucket, one).catch((problem) => toast(problem.message)) }, "Download"),
      element("button", { type: "button", class: "wary", id: "delete", onclick: () => remove(bucket, one, done) }, "Delete"));
    body.replaceChildren(facts(told), buttons, part("Preview", () => preview(bucket, one, headers)), part("Tags", () => tagEditor(bucket, one.key)),
      section("Share", sharing(bucket, one)), part("In the cache", () => explanation(`${bucket}/${one.key}`)));
  } catch (problem) {
    body.replaceChildren(element("p", { class: "trouble" }, problem.message));
  }
}

sheet.addEventListener("close", dropPicture);
