// Which page is shown: the part of the address behind the "#".

import { startBrowser, showBuckets } from "./browser.js";
import { startExplain, showExplain } from "./explain.js";
import { live } from "./live.js";
import { session } from "./s3.js";

const PAGES = { live: () => {}, buckets: showBuckets, explain: showExplain };

function route() {
  const [, page, ...rest] = location.hash.split("/");
  const name = page in PAGES ? page : "live";
  for (const one of Object.keys(PAGES)) document.getElementById(`page-${one}`).hidden = one !== name;
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.title = `${{ live: "Live", buckets: "Buckets", explain: "Explain" }[name]} · alluxio-s3`;
  PAGES[name](rest.map(decodeURIComponent));
}

async function start() {
  for (const button of document.querySelectorAll("dialog [data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); document.getElementById("content").focus(); });
  live();
  try {
    const about = await (await fetch("/dashboard/about")).json();
    document.getElementById("version").textContent = about.version;
    document.getElementById("logout").hidden = !about.guarded;
    const host = location.hostname.includes(":") ? `[${location.hostname.replace(/[[\]]/g, "")}]` : location.hostname;
    Object.assign(session, { mode: about.authentication, region: about.region, endpoint: about.port ? `${about.scheme}://${host}:${about.port}` : "" });
  } catch { /* the feed says that the daemon is away */ }
  startBrowser();
  startExplain();
  addEventListener("hashchange", route);
  route();
}

start();
