// SPDX-License-Identifier: GPL-3.0-or-later
// Find anonymized studies, see where they lie in the tree, and have one written again.

const root = new URL("../", import.meta.url);
const SHOWN = 100;
const at = (id) => document.getElementById(id);
const FAILED = {
  0: "Disk cannot be reached. Check your connection, and try again.",
  401: "You are signed out. Load the page again to sign on.",
  403: "Your account may not do this.",
  404: "Disk does not hold this study any more. Find again.",
  503: "Disk's database does not answer. Try again in a minute.",
  507: "The tree cannot be written. Tell an administrator to look at the disk.",
};

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== false));
  return element;
}

const bdi = (text) => h("bdi", {}, text);

let token;
async function ask(path, content, signal) {
  const request = { cache: "no-store", redirect: "error", headers: {}, signal };
  if (content !== undefined) {
    token ??= (await (await fetch(new URL("page-token", root), { cache: "no-store" })).json()).token;
    Object.assign(request, { method: "POST", body: JSON.stringify(content), headers: { "X-Page-Token": token } });
  }
  let answer;
  try {
    answer = await fetch(new URL(path, root), request);
  } catch {
    throw new Error(FAILED[0]);
  }
  if (answer.ok) return answer.json();
  token = undefined;
  throw new Error(FAILED[answer.status] ?? `Disk answered ${answer.status}. Try again; if it fails again, tell an administrator.`);
}

function say(kind, ...content) {
  at("message").replaceChildren(h("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, ...content));
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const day = (text) => (/^\d{8}$/.test(text ?? "") ? `${Number(text.slice(6))} ${MONTHS[text.slice(4, 6) - 1]} ${text.slice(0, 4)}` : "");

function files({ present, instances, failed }) {
  const all = present === instances;
  const look = all ? "good" : "bad";
  return [h("span", { class: `badge ${look}` }, `${present} of ${instances}`),
    failed.length ? h("span", { class: "second failed" }, failed[0].reason) : null];
}

// A browser asks six things at a time, and what is looked for next must not wait for a hundred rows of before.
let rows = new AbortController();

function rowOf(study) {
  const tags = study.MainDicomTags;
  const where = h("td", { class: "folder code" }, "…");
  const count = h("td", {}, "…");
  const show = (result) => {
    where.replaceChildren(bdi(result.folder || "not written yet"));
    count.replaceChildren(...files(result).filter(Boolean));
  };
  const again = (path, what) => h("button", { type: "button", onclick: async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      const result = await ask(path, {});
      show(result);
      const written = result.written === 1 ? "1 file was written" : `${result.written} files were written`;
      const done = result.written ? written : "Nothing was missing";
      say("good", `${done}: ${what} lies in `, h("span", { class: "code" }, bdi(result.folder)), ".");
    } catch (error) {
      say("bad", error.message);
    }
    button.disabled = false;
  } }, "Write again");
  const series = [];
  const more = h("button", { type: "button", class: "link", "aria-expanded": "false", onclick: async () => {
    const open = more.getAttribute("aria-expanded") === "true";
    more.setAttribute("aria-expanded", String(!open));
    if (!series.length) {
      const all = await ask(`studies/${study.ID}/series`).catch((error) => (say("bad", error.message), []));
      series.push(...all.map((one) => h("tr", { class: "series" },
        h("td", {}, `${one.MainDicomTags.Modality ?? ""} ${one.MainDicomTags.SeriesNumber ?? ""}`),
        h("td", {}, bdi(one.MainDicomTags.SeriesDescription ?? "")),
        h("td", {}), h("td", {}, `${one.Instances.length} instances`),
        h("td", {}, again(`disk/series/${one.ID}/write`, "the series")))));
      row.after(...series);
    }
    for (const one of series) one.hidden = open;
  } }, `${study.Series.length} series`);
  const row = h("tr", {},
    h("th", { scope: "row" }, bdi(study.PatientMainDicomTags.PatientID ?? "")),
    h("td", {}, bdi(tags.StudyDescription || "no description"),
      h("span", { class: "second" }, day(tags.StudyDate), " · ", more)),
    where, count,
    h("td", {}, h("div", { class: "row" }, again(`disk/studies/${study.ID}/write`, "the study"),
      h("a", { class: "button", href: `${new URL("app/explorer.html", root)}#study?uuid=${study.ID}` }, "Open"))));
  const { signal } = rows;
  ask(`disk/studies/${study.ID}`, undefined, signal).then(show, (error) => signal.aborted || where.replaceChildren(error.message));
  return row;
}

async function find() {
  const Query = {};
  for (const [name, value] of new FormData(at("search"))) {
    const text = value.trim();
    if (text) Query[name] = name === "StudyDate" ? text.replaceAll("-", "") : `*${text.replaceAll(/[*?\\]/g, "?")}*`;
  }
  rows.abort();
  rows = new AbortController();
  try {
    const found = await ask("tools/find", { Level: "Study", Query, Expand: true, Limit: SHOWN + 1, CaseSensitive: false });
    const shown = found.slice(0, SHOWN);
    at("found").hidden = !shown.length;
    at("found").querySelector("tbody").replaceChildren(...shown.map(rowOf));
    at("count").textContent = found.length > SHOWN ? `The first ${SHOWN} studies; find more narrowly.`
      : `${found.length} ${found.length === 1 ? "study" : "studies"}`;
    at("message").replaceChildren();
  } catch (error) {
    say("bad", error.message);
  }
}

async function status() {
  const told = await ask("disk/status").catch(() => null);
  if (!told) return;
  const free = told.free_bytes === null ? "" : `${Math.round(told.free_bytes / 1e9)} GB are free.`;
  at("status").textContent = `${told.pending ? `${told.pending} studies wait to be written. ` : ""}${free}`;
  if (told.problem) say("bad", h("strong", {}, "The tree cannot be written. "), told.problem);
}

at("search").addEventListener("submit", (event) => {
  event.preventDefault();
  find();
});
await status();
await find();
