// SPDX-License-Identifier: GPL-3.0-or-later
// The studies on PHI: found, chosen, and followed while they are anonymized.
import { get } from "../shared/api.js";
import { announce, calmly, fill, h, notice } from "../shared/dom.js";
import { keepFresh, start as startPage } from "../shared/layout.js";
import { count, dicomDay, STATES } from "../shared/words.js";
import { showDetails } from "./study_details.js";
import { askToStart } from "./start_dialog.js";
import { isBusy, studyRow } from "./study_row.js";

const PAGE = 50;
const me = await startPage();
const may = new Set(me.may);

const form = document.getElementById("search");
const rows = document.getElementById("rows");
const startButton = document.getElementById("start");
const all = document.getElementById("all");
const dialog = document.getElementById("dialog");
const message = document.getElementById("message");

const chosen = new Map(); // Orthanc's identifier → study, also of other pages
let shown = [];
let offset = 0;
let sort = "-received";
let asked = 0;

startButton.hidden = !may.has("anonymize");
all.hidden = startButton.hidden;
form.elements.state.append(...Object.entries(STATES).map(([state, [word]]) => h("option", { value: state }, word)));

function wanted() {
  const told = Object.fromEntries(new FormData(form));
  return { ...told, date_from: dicomDay(told.date_from), date_to: dicomDay(told.date_to), sort, offset, limit: PAGE };
}

/** Look, and draw what was found. A slower answer to an earlier question is dropped. */
async function look({ quiet = false } = {}) {
  const number = ++asked;
  const found = await get("search", wanted());
  if (number !== asked) return;
  const before = new Map(shown.map((study) => [study.orthanc_id, study]));
  shown = found.studies;
  draw(found);
  if (quiet) tellWhatEnded(before);
}

function draw(found) {
  const focus = document.activeElement?.closest("tr")?.dataset.study;
  const place = document.activeElement?.type === "checkbox" ? "input" : "button";
  fill(rows, shown.map((study) => studyRow(study, {
    selectable: may.has("anonymize") && !study.anonymous,
    chosen: chosen.has(study.orthanc_id),
    choose: (is) => choose(study, is),
    open: () => showDetails(dialog, study, me, look),
  })));
  if (!shown.length) rows.append(h("tr", {}, h("td", { colspan: 7, class: "empty" }, nothingFound())));
  if (focus) rows.querySelector(`tr[data-study="${focus}"] ${place}`)?.focus();
  const total = found.more_than_total ? `More than ${count(found.total, "study", "studies")}` : count(found.total, "study", "studies");
  document.getElementById("found").textContent = total;
  document.getElementById("place").textContent = shown.length ? `${offset + 1} to ${offset + shown.length}` : "";
  document.getElementById("previous").disabled = offset === 0;
  document.getElementById("next").disabled = offset + shown.length >= found.total && !found.more_than_total;
  drawChosen();
}

function nothingFound() {
  const filtered = [...new FormData(form).values()].some(Boolean);
  return filtered
    ? "No study on PHI matches. Take a condition away, or fetch the study from the PACS."
    : "PHI holds no study yet. Scanners send studies here, or they are fetched from the PACS.";
}

function choose(study, is) {
  if (is) chosen.set(study.orthanc_id, study);
  else chosen.delete(study.orthanc_id);
  drawChosen();
}

function drawChosen() {
  for (const row of rows.querySelectorAll("tr[data-study]")) row.setAttribute("aria-selected", chosen.has(row.dataset.study));
  const here = shown.filter((study) => !study.anonymous);
  const ticked = here.filter((study) => chosen.has(study.orthanc_id)).length;
  all.checked = here.length > 0 && ticked === here.length;
  all.indeterminate = ticked > 0 && ticked < here.length;
  startButton.disabled = chosen.size === 0;
  document.getElementById("chosen").textContent = chosen.size ? `${count(chosen.size, "study", "studies")} chosen` : "";
}

function tellWhatEnded(before) {
  const ended = shown.filter((study) => isBusy(before.get(study.orthanc_id) ?? {}) && !isBusy(study));
  const held = ended.filter((study) => study.projects.some((one) => one.state === "quarantined"));
  if (held.length) notice(message, "bad", `${count(held.length, "study was", "studies were")} held back. Open it to see why.`);
  else if (ended.length) notice(message, "good", `${count(ended.length, "study was", "studies were")} delivered.`);
  if (ended.length) announce(message.textContent);
}

const tell = (error) => notice(message, "bad", error.message);
const search = () => {
  offset = 0;
  look().catch(tell);
};

// What was typed just before a page was turned or all was cleared is not searched for once more.
let searched = "";
const typed = () => {
  const now = new URLSearchParams(new FormData(form)).toString();
  if (now !== searched) search();
  searched = now;
};

form.addEventListener("input", calmly(typed));
form.addEventListener("reset", () => setTimeout(typed));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
all.addEventListener("change", () => {
  for (const study of shown) if (!study.anonymous) choose(study, all.checked);
  for (const box of rows.querySelectorAll("input")) box.checked = all.checked;
});
for (const button of document.querySelectorAll(".sort")) {
  button.addEventListener("click", () => {
    const name = button.dataset.sort;
    const first = name === "patient" ? name : `-${name}`;
    const other = name === "patient" ? `-${name}` : name;
    sort = sort === first ? other : first;
    drawSort();
    search();
  });
}
function drawSort() {
  for (const button of document.querySelectorAll(".sort")) {
    button.setAttribute("aria-pressed", sort.endsWith(button.dataset.sort));
    button.dataset.way = sort.startsWith("-") ? "down" : "up";
  }
}
const turn = (step) => () => {
  offset = Math.max(0, offset + step * PAGE);
  look().catch(tell);
  document.getElementById("found").scrollIntoView({ block: "nearest" });
};
document.getElementById("previous").addEventListener("click", turn(-1));
document.getElementById("next").addEventListener("click", turn(1));
startButton.addEventListener("click", () => askToStart(dialog, [...chosen.values()], {
  started: (text, kind) => {
    chosen.clear();
    notice(message, kind, text);
    look().catch(tell);
  },
}));

drawSort();
get("sources").then(({ sources }) => form.elements.source.append(...sources.map((name) => h("option", {}, name)))).catch(tell);
const one = new URLSearchParams(location.search).get("study");
if (one) get("search", { study: one, limit: 1 }).then(({ studies }) => studies[0] && showDetails(dialog, studies[0], me, look)).catch(tell);

// The first look, and then one every few seconds: others work here, too.
keepFresh(() => look({ quiet: true }), message);
