// SPDX-License-Identifier: GPL-3.0-or-later
// The fetches of everybody, newest first: how far each is, what did not come, and why.
import { get, post } from "../shared/api.js";
import { fill, h, told } from "../shared/dom.js";
import { count, day, moment, person } from "../shared/words.js";

const STATES = {
  looking: ["looking for it", "busy"],
  waiting: ["waiting", "busy"],
  retrieving: ["on its way", "busy"],
  done: ["on PHI", "good"],
  "not-found": ["not found", "bad"],
  failed: ["failed", "bad"],
  stopped: ["stopped", "quiet"],
};
const OPEN = ["looking", "waiting", "retrieving"];
const open = new Set();

/** Draw all fetches; those that people opened stay open, with their items renewed. */
export async function drawFetches(place, fetches, tell) {
  if (!fetches.length) {
    fill(place, h("p", { class: "empty" }, "Nothing was fetched yet."));
    return;
  }
  if (!place.dataset.drawn) {
    place.dataset.drawn = "";
    open.add(fetches[0].id);
  }
  const shown = await Promise.all(fetches.map(async (fetch) =>
    ({ fetch, items: open.has(fetch.id) ? (await get(`fetches/${fetch.id}`)).items : null })));
  const focus = document.activeElement?.dataset.focus;
  fill(place, shown.map(({ fetch, items }) => card(fetch, items, tell)));
  if (focus) place.querySelector(`[data-focus="${focus}"]`)?.focus();
}

function card(fetch, items, tell) {
  const number = (...names) => names.reduce((sum, name) => sum + (fetch.states[name] ?? 0), 0);
  const total = Object.values(fetch.states).reduce((sum, one) => sum + one, 0);
  const [rest, missing] = [number(...OPEN), number("not-found", "failed", "stopped")];
  const details = h("details", { class: "card", open: open.has(fetch.id) },
    h("summary", { "data-focus": `summary-${fetch.id}` },
      h("strong", {}, `${number("done")} of ${count(total, "study", "studies")} from `, told(fetch.node)),
      h("span", { class: "soft" }, ` by `, told(fetch.created_by), `, ${moment(fetch.created_at)} `),
      rest ? h("span", { class: "badge busy" }, `${rest} to come`) : null,
      missing ? h("span", { class: "badge bad" }, `${missing} did not come`) : null),
    h("progress", { max: total, value: total - rest, "aria-label": `${total - rest} of ${total} are settled` }),
    h("div", { class: "row" },
      missing ? button(fetch, "retry", "Try again what did not come", tell) : null,
      rest ? button(fetch, "stop", "Stop", tell) : null,
      items && missing ? h("button", { type: "button", "data-focus": `save-${fetch.id}`, onclick: () => save(fetch, items) }, "Save what did not come") : null),
    items ? table(items) : null);
  details.addEventListener("toggle", async () => {
    if (details.open === open.has(fetch.id)) return;
    if (details.open) open.add(fetch.id);
    else open.delete(fetch.id);
    if (details.open) details.append(table((await get(`fetches/${fetch.id}`)).items));
  });
  return details;
}

const button = (fetch, action, words, tell) => h("button", {
  type: "button", "data-focus": `${action}-${fetch.id}`,
  onclick: (event) => {
    event.currentTarget.disabled = true;
    post(`fetches/${fetch.id}/${action}`).catch(tell);
  },
}, words);

function table(items) {
  return h("div", { class: "scroll items", tabindex: 0, role: "region", "aria-label": "Studies of this fetch" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Accession", "Patient", "Study", "Arrived", "State"].map((word) => h("th", { scope: "col" }, word)))),
    h("tbody", {}, items.map(row))));
}

function row(item) {
  const [word, look] = STATES[item.state];
  return h("tr", {},
    h("th", { scope: "row" }, told(item.accession || "(none)")),
    h("td", {}, told(person(item.patient_name)), h("span", { class: "second" }, told(item.patient_id))),
    h("td", {}, `${day(item.study_date)} `, told(item.description)),
    h("td", { class: "number" }, item.instances === null ? item.received || "" : `${item.received} of ${item.instances}`),
    h("td", {}, h("span", { class: `badge ${look}` }, word), item.error ? h("span", { class: "second" }, item.error) : ""));
}

/** Save what did not come as a CSV file, which can be loaded here again. */
function save(fetch, items) {
  const missing = items.filter((item) => !OPEN.includes(item.state) && item.state !== "done");
  const quoted = (text) => `"${(/^[=+\-@\t]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  const lines = [["accession", "state", "why"], ...missing.map((item) => [item.accession, item.state, item.error])];
  const file = new Blob(["\uFEFF", lines.map((line) => line.map(quoted).join(",")).join("\r\n")], { type: "text/csv" });
  const url = URL.createObjectURL(file);
  h("a", { href: url, download: `not_fetched_${fetch.id}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
