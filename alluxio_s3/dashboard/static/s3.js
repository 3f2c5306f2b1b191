// S3 as the pages speak it: requests to /s3 of this port, which goes on to the S3 endpoint, signed here (Signature Version 4).

const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UNSIGNED = "UNSIGNED-PAYLOAD";
const encoder = new TextEncoder();

export const session = { mode: "SIMPLE", region: "us-east-1", accessKey: "", secretKey: "", token: "", bearer: "", endpoint: "" };

export class S3Failure extends Error {
  constructor(status, code, message) { super(message || code || `status ${status}`); Object.assign(this, { status, code }); }
}

// Where users are who they say, a signature proves nothing, and any will do.
const trusted = () => session.mode === "SIMPLE" || session.mode === "AUDIT";
export const isSigning = () => session.mode !== "OIDC" || Boolean(session.accessKey);
export const isSignedIn = () => Boolean(session.mode === "OIDC" ? session.bearer || session.accessKey : session.accessKey);

const hex = (buffer) => [...new Uint8Array(buffer)].map((one) => one.toString(16).padStart(2, "0")).join("");
export const escape = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
export const path = (bucket, key = "") => (bucket ? `/${escape(bucket)}${key ? `/${key.split("/").map(escape).join("/")}` : ""}` : "/");
const canonical = (query) => Object.entries(query).map(([name, value]) => [escape(name), escape(String(value))]).sort((one, other) => (one[0] < other[0] ? -1 : 1)).map((one) => one.join("=")).join("&");

async function sha256(data) {
  if (!crypto.subtle) throw new S3Failure(0, "", "This browser signs only on pages of https:// or of localhost: open this port through a tunnel (ssh -L).");
  return hex(await crypto.subtle.digest("SHA-256", data));
}

async function hmac(key, text) {
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return crypto.subtle.sign("HMAC", imported, encoder.encode(text));
}

async function signature(method, target, query, headers, payload, stamp) {
  if (trusted() && !session.secretKey) return "0".repeat(64);
  const names = Object.keys(headers).sort();
  const request = [method, target, query, ...names.map((name) => `${name}:${headers[name].trim()}`), "", names.join(";"), payload].join("\n");
  const scope = `${stamp.slice(0, 8)}/${session.region}/s3/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", stamp, scope, await sha256(encoder.encode(request))].join("\n");
  let key = encoder.encode(`AWS4${session.secretKey}`);
  for (const part of [stamp.slice(0, 8), session.region, "s3", "aws4_request"]) key = await hmac(key, part);
  return hex(await hmac(key, text));
}

const stampNow = () => new Date().toISOString().replace(/[-:]|\.\d+/g, "");

async function signed(method, target, query, extra, data) {
  const headers = { ...extra };
  if (session.mode === "OIDC" && session.bearer) return { ...headers, "x-s3-authorization": `Bearer ${session.bearer}` };
  if (!session.accessKey) return { ...headers, "x-s3-authorization": "" };
  const stamp = stampNow();
  const payload = !data ? EMPTY : crypto.subtle ? await sha256(data) : UNSIGNED;
  Object.assign(headers, { "x-amz-content-sha256": payload, "x-amz-date": stamp });
  if (session.token) headers["x-amz-security-token"] = session.token;
  // The relay leaves Host as it is, so S3 is told the name that this page was opened by.
  const covered = { host: location.host, ...headers };
  const proof = await signature(method, target, canonical(query), covered, payload, stamp);
  const names = Object.keys(covered).sort().join(";");
  headers["x-s3-authorization"] = `AWS4-HMAC-SHA256 Credential=${session.accessKey}/${stamp.slice(0, 8)}/${session.region}/s3/aws4_request, SignedHeaders=${names}, Signature=${proof}`;
  return headers;
}

const address = (target, query) => `/s3${target}${Object.keys(query).length ? `?${canonical(query)}` : ""}`;

function failure(status, text) {
  const found = new DOMParser().parseFromString(text, "application/xml");
  const read = (name) => found.getElementsByTagName(name)[0]?.textContent ?? "";
  return new S3Failure(status, read("Code"), read("Message") || text.slice(0, 300) || (status === 403 ? "Access denied." : `The answer is ${status}.`));
}

// A request whose answer is wanted whole. `data` is an ArrayBuffer or text.
export async function ask(method, bucket, key = "", { query = {}, headers = {}, data = null } = {}) {
  const sent = typeof data === "string" ? encoder.encode(data) : data;
  const target = path(bucket, key);
  const answer = await fetch(address(target, query), { method, headers: await signed(method, target, query, headers, sent), body: sent, cache: "no-store" });
  if (!answer.ok) throw failure(answer.status, method === "HEAD" ? "" : await answer.text());
  return answer;
}

export async function xml(method, bucket, key, options) {
  const answer = await ask(method, bucket, key, options);
  const found = new DOMParser().parseFromString(await answer.text(), "application/xml");
  if (found.documentElement.localName === "Error") throw failure(answer.status, found.documentElement.outerHTML);
  return found;
}

// A body with progress, which fetch does not tell. Resolves to the ETag.
async function put(bucket, key, query, headers, blob, progress, signal) {
  const data = await blob.arrayBuffer();
  const target = path(bucket, key);
  const made = await signed("PUT", target, query, headers, data);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", address(target, query));
    for (const [name, value] of Object.entries(made)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => progress(event.loaded));
    request.addEventListener("load", () => {
      if (request.status === 200) { progress(data.byteLength); resolve(request.getResponseHeader("etag")); } else reject(failure(request.status, request.responseText));
    });
    request.addEventListener("error", () => reject(new S3Failure(0, "", "The connection was cut.")));
    request.addEventListener("abort", () => reject(new DOMException("Stopped.", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    if (signal.aborted) request.abort(); else request.send(data);
  });
}

const PART = 8 << 20, SINGLE = 16 << 20, AT_ONCE = 3, TRIES = 3, MOST_PARTS = 10000;

// Put a file, by parts if it is large; S3 verifies the SHA-256 of every request. `progress` is told bytes.
export async function upload(bucket, key, file, progress, signal) {
  const headers = { "content-type": file.type || "application/octet-stream" };
  if (file.size <= SINGLE) return put(bucket, key, {}, headers, file, progress, signal);
  const size = Math.max(PART, Math.ceil(file.size / MOST_PARTS / (1 << 20)) << 20);
  const begun = await xml("POST", bucket, key, { query: { uploads: "" }, headers });
  const uploadId = begun.getElementsByTagName("UploadId")[0].textContent;
  const parts = Math.ceil(file.size / size);
  const sent = new Array(parts).fill(0), etags = new Array(parts);
  let next = 0;
  const worker = async () => {
    while (next < parts) {
      const index = next;
      next += 1;
      const told = (loaded) => { sent[index] = loaded; progress(sent.reduce((total, one) => total + one, 0)); };
      for (let left = TRIES; ; left -= 1) {
        try {
          etags[index] = await put(bucket, key, { partNumber: index + 1, uploadId }, {}, file.slice(index * size, (index + 1) * size), told, signal);
          break;
        } catch (problem) {
          if (left <= 1 || signal.aborted || (problem.status >= 400 && problem.status < 500)) throw problem;
        }
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    const listed = etags.map((etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag.replaceAll("&", "&amp;").replaceAll('"', "&quot;")}</ETag></Part>`).join("");
    return await xml("POST", bucket, key, { query: { uploadId }, data: `<CompleteMultipartUpload>${listed}</CompleteMultipartUpload>` });
  } catch (problem) {
    next = parts;
    await ask("DELETE", bucket, key, { query: { uploadId } }).catch(() => {});
    throw problem;
  }
}

// A link that lets in whoever has it, for so many seconds, to the S3 endpoint itself.
export async function presigned(bucket, key, lasting, extra = {}) {
  const stamp = stampNow();
  const target = path(bucket, key);
  const endpoint = new URL(session.endpoint);
  const query = { ...extra, "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": `${session.accessKey}/${stamp.slice(0, 8)}/${session.region}/s3/aws4_request`, "X-Amz-Date": stamp, "X-Amz-Expires": lasting, "X-Amz-SignedHeaders": "host" };
  if (session.token) query["X-Amz-Security-Token"] = session.token;
  const text = canonical(query);
  const proof = await signature("GET", target, text, { host: endpoint.host }, UNSIGNED, stamp);
  return `${endpoint.origin}${target}?${text}&X-Amz-Signature=${proof}`;
}

const texts = (node, name) => [...node.getElementsByTagName(name)];
const one = (node, name) => node.getElementsByTagName(name)[0]?.textContent ?? "";

export async function buckets() {
  const found = await xml("GET", "");
  return texts(found, "Bucket").map((bucket) => ({ name: one(bucket, "Name"), created: one(bucket, "CreationDate") }));
}

// A page of what is directly under a prefix. `encoding-type` keeps keys whole that XML has no way to hold.
export async function list(bucket, prefix, after) {
  const query = { "list-type": 2, delimiter: "/", prefix, "max-keys": 200, "encoding-type": "url", ...(after ? { "continuation-token": after } : {}) };
  const found = await xml("GET", bucket, "", { query });
  const plain = (text) => decodeURIComponent(text.replaceAll("+", " "));
  return {
    folders: texts(found, "CommonPrefixes").map((node) => plain(one(node, "Prefix"))),
    objects: texts(found, "Contents").map((node) => ({ key: plain(one(node, "Key")), size: Number(one(node, "Size")), modified: one(node, "LastModified") })).filter((object) => object.key !== prefix),
    next: one(found, "IsTruncated") === "true" ? one(found, "NextContinuationToken") : "",
  };
}

export async function tags(bucket, key) {
  const found = await xml("GET", bucket, key, { query: { tagging: "" } });
  return texts(found, "Tag").map((tag) => [one(tag, "Key"), one(tag, "Value")]);
}

const plainXml = (text) => text.replace(/[<>&"']/g, (found) => `&#${found.charCodeAt(0)};`);

export function setTags(bucket, key, pairs) {
  const listed = pairs.map(([name, value]) => `<Tag><Key>${plainXml(name)}</Key><Value>${plainXml(value)}</Value></Tag>`).join("");
  return ask("PUT", bucket, key, { query: { tagging: "" }, data: `<Tagging><TagSet>${listed}</TagSet></Tagging>` });
}
