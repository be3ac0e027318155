// SPDX-License-Identifier: GPL-3.0-or-later
// What all pages share: the header with the ways that the account may go, and who is signed on.
import { follow, get, root } from "./api.js";
import { h, notice } from "./dom.js";
import { setZone } from "./words.js";

const base = new URL("extra/", root);

const PAGES = [
  { id: "start", title: "Start", path: "index.html" },
  {
    id: "anonymize", title: "Anonymize", path: "scrub/study_anonymize.html",
    text: "Find studies on PHI, anonymize them, follow them, and see what went and what stayed.",
  },
  {
    id: "fetch", title: "Fetch", path: "scrub/fetch.html", needs: "fetch",
    text: "Look for studies in the PACS, one by one or by a list of accessions, and bring them to PHI.",
  },
  {
    id: "lookup", title: "Lookup table", path: "lookup/master/lookuptable.html", needs: "lookup",
    text: "Who is who: real and anonymous identities side by side. Each look is written down.",
  },
  {
    id: "review", title: "Review", path: "review/quarantine.html", needs: "review",
    text: "Studies that are held back, why, and what to do about each.",
  },
  {
    id: "work", title: "Work", path: "work/work.html", needs: "work",
    text: "Queue, failures, throughput, backups and disks: the look in the morning.",
  },
];

/** The pages that an account may use, each with its address. */
export const pagesFor = (me) =>
  PAGES.filter((page) => !page.needs || me.may.includes(page.needs)).map((page) => ({
    ...page, href: new URL(page.path, base).href,
  }));

const EXPLORER = "app/explorer.html";
const KINDS = {
  phi: { text: "Identified studies as they came from the scanners.", path: EXPLORER },
  anon: { text: "Anonymized studies, for viewing and download.", path: EXPLORER },
  disk: { text: "Anonymized studies as a tree of folders.", path: "extra/tree.html" },
};

/** The Orthancs behind this site, each with its address. */
export const orthancs = (me) => [{ name: "Orthanc PHI", kind: "phi", url: root.href }, ...me.orthancs].map((one) => ({
  title: one.name, text: KINDS[one.kind].text, href: new URL(KINDS[one.kind].path, new URL(one.url, root)).href,
}));

/**
 * Draw the header and return what the site knows of the person (`GET /deid/v1/me`).
 * Each page calls it first. Does not return where that cannot be known: the page then says why.
 */
export async function start() {
  const main = document.getElementById("main");
  main.setAttribute("tabindex", "-1");
  document.body.prepend(h("a", { class: "skip", href: "#main" }, "Skip to the content"));
  let me;
  try {
    me = await get("me");
  } catch (error) {
    const place = h("div");
    main.prepend(place);
    notice(place, "bad", error.message, " ", h("button", { class: "link", onclick: () => location.reload() }, "Try again"));
    return new Promise(() => {});
  }
  setZone(me.zone);
  main.before(header(me));
  // In a narrow window the ways are a strip that is wider than it.
  document.querySelector("header.site [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  document.body.dataset.ready = "";
  return me;
}

/** Draw again and again; a lost connection is told once in `message`, and when it is back. */
export function keepFresh(draw, message, seconds = 3) {
  let lost = false;
  follow(async () => {
    await draw();
    return true;
  }, {
    seconds,
    away: (error) => {
      if (error && !lost) notice(message, "bad", error.message);
      if (!error && lost) notice(message, "good", "The connection is back.");
      lost = Boolean(error);
    },
  }).catch((error) => notice(message, "bad", error.message));
}

function header(me) {
  const here = document.body.dataset.page;
  const links = pagesFor(me).map((page) =>
    h("li", {}, h("a", { href: page.href, "aria-current": page.id === here ? "page" : null }, page.title)));
  return h("header", { class: "site" },
    h("a", { class: "brand", href: new URL("index.html", base).href, "aria-label": "Start" },
      h("img", { src: new URL("shared/icon.svg", base).href, alt: "", width: 28, height: 28 })),
    h("nav", { "aria-label": "Pages" }, h("ul", {}, links)),
    h("div", { class: "person" },
      h("span", { class: "who" }, h("bdi", {}, me.user), h("small", {}, me.account.replace("_", " "))),
      themeButton()));
}

const THEMES = [["", "◐", "as the system"], ["light", "☀", "light"], ["dark", "☾", "dark"]];

function themeButton() {
  const button = h("button", { class: "icon", type: "button" });
  const show = () => {
    const chosen = localStorage.getItem("theme") ?? "";
    const [, sign, words] = THEMES.find(([name]) => name === chosen) ?? THEMES[0];
    button.textContent = sign;
    button.title = `Colours: ${words}`;
    button.setAttribute("aria-label", button.title);
  };
  button.addEventListener("click", () => {
    const at = THEMES.findIndex(([name]) => name === (localStorage.getItem("theme") ?? ""));
    const [next] = THEMES[(at + 1) % THEMES.length];
    if (next) localStorage.setItem("theme", next);
    else localStorage.removeItem("theme");
    if (next) document.documentElement.dataset.theme = next;
    else delete document.documentElement.dataset.theme;
    show();
  });
  show();
  return button;
}
