// SPDX-License-Identifier: GPL-3.0-or-later
// The lookup table: filtered, sorted and read page by page on the server, whatever its size.
import { TabulatorFull as Tabulator } from "../../lib/tabulator.mjs";
import { post, root, saveFile } from "../../shared/api.js";
import { announce, fill, h, notice, told } from "../../shared/dom.js";
import { start } from "../../shared/layout.js";
import { count, day, person, STATES } from "../../shared/words.js";

const me = await start();
const message = document.getElementById("message");
const counter = document.getElementById("count");
const clear = document.getElementById("clear");
const HIDDEN = "lookup-hidden-columns";

const name = (cell) => told(person(cell.getValue()));
const text = (cell) => told(cell.getValue() ?? "");
const date = (cell) => day((cell.getValue() ?? "").replaceAll("-", ""));
const uid = (cell) => h("span", { class: "code", title: cell.getValue() }, cell.getValue() ?? "");
const former = (cell) => h("span", {}, cell.getValue().flatMap((id, at) => (at ? [", ", told(id)] : [told(id)])));

function state(cell) {
  const [word, look, title] = STATES[cell.getValue()] ?? [cell.getValue(), "quiet", ""];
  return h("span", { class: `badge ${look}`, title }, word);
}

function links(cell) {
  const row = cell.getData();
  const to = (base, id, title) =>
    h("a", { href: `${new URL("app/explorer.html", base)}#study?uuid=${id}`, target: "_blank", rel: "noopener" }, title);
  const all = row.orthanc_id ? [to(root, row.orthanc_id, "PHI")] : [];
  if (row.state === "delivered") {
    for (const one of me.orthancs) all.push(to(new URL(one.url, root), row.anonymous_orthanc_id, one.name));
  }
  return h("span", { class: "links" }, all);
}

const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);
const labels = new Map();
const column = (title, label, field, formatter, width, more = {}) => labels.set(field, label) && ({
  title, field, formatter, width, headerFilter: "input", headerFilterPlaceholder: "filter",
  headerFilterParams: { elementAttributes: { "aria-label": `Filter by ${label}`, maxlength: "200", spellcheck: "false" } },
  ...more,
});

const real = [
  column("Patient", "patient's name", "patient_name", name, 180),
  column("Patient ID", "Patient ID", "patient_id", text, 130),
  column("Issuer", "issuer of the Patient ID", "issuer", text, 100, { headerSort: false, visible: false }),
  column("Former IDs", "former Patient IDs", "former_ids", former, 115, { headerSort: false }),
  column("Date", "study date", "study_date", date, 112),
  column("Accession", "accession", "accession", text, 130),
  column("Study UID", "study UID", "study_instance_uid", uid, 190, { visible: false }),
];
const anonymous = [
  column("Subject", "subject number", "subject_number", text, 110, { hozAlign: "right" }),
  column("Pseudonym", "pseudonym", "pseudonym", text, 145),
  column("Date", "moved study date", "anonymous_study_date", date, 112),
  column("Accession", "new accession", "anonymous_accession", text, 150),
  column("Study UID", "new study UID", "anonymous_study_uid", uid, 190, { visible: false }),
];
const study = [
  column("State", "state", "state", state, 105, { headerSort: false, headerFilter: false }),
  column("Project", "project", "project", text, 100, { headerSort: false, visible: false }),
  column("Open in", "links", "links", links, 130, { headerSort: false, headerFilter: false }),
];

const chosen = JSON.parse(localStorage.getItem(HIDDEN) ?? "null");
for (const one of [...real, ...anonymous, ...study]) {
  if (chosen) one.visible = !chosen.includes(one.field);
}

let asked = {};
let places = [];

/** What the table wants to see, as the API takes it. */
function search({ sort = [], filter = [] }) {
  const [order = { field: "subject_number", dir: "asc" }] = sort;
  return {
    filters: Object.fromEntries(filter.map(({ field, value }) => [field, String(value)])),
    sort: order.field,
    descending: order.dir === "desc",
  };
}

async function page(_url, _config, params) {
  const wanted = search(params);
  if (params.page === 1) places = [null];
  asked = wanted;
  try {
    const found = await post("lookup", { ...wanted, after: places[params.page - 1], limit: params.size });
    places[params.page] = found.next;
    if (params.page === 1) tell(found);
    return { data: found.rows, last_page: found.next ? params.page + 1 : params.page };
  } catch (error) {
    notice(message, "bad", error.message);
    counter.textContent = "";
    return { data: [], last_page: params.page };
  }
}

function tell({ total, rows }) {
  fill(message);
  const filtered = Object.keys(asked.filters).length > 0;
  const many = total === null ? "More than 20,000 studies" : count(total, "study", "studies");
  counter.textContent = filtered ? `${many} found` : many;
  clear.disabled = !filtered;
  announce(rows.length ? counter.textContent : "Nothing is found");
}

const table = new Tabulator("#table", {
  height: "calc(100vh - 15.5rem)",
  minHeight: 320,
  layout: "fitDataStretch",
  columns: [
    { title: "As it came", columns: real, cssClass: "real" },
    { title: "As it went out", columns: anonymous, cssClass: "anonymous" },
    { title: "Study", columns: study },
  ],
  headerFilterLiveFilterDelay: 350,
  columnDefaults: { resizable: "header", vertAlign: "middle" },
  movableColumns: true,
  initialSort: [{ column: "subject_number", dir: "asc" }],
  placeholder: "No study is found. Change or clear the filters.",
  ajaxURL: "lookup",
  ajaxRequestFunc: page,
  progressiveLoad: "scroll",
  progressiveLoadScrollMargin: 600,
  paginationSize: 100,
  sortMode: "remote",
  filterMode: "remote",
  rowHeight: 38,
});

// The filters listen to keys only; what is pasted or dictated counts, too.
document.getElementById("table").addEventListener("input", (event) => {
  if (event.target.closest(".tabulator-header-filter")) event.target.dispatchEvent(new Event("search"));
});
clear.addEventListener("click", () => table.clearHeaderFilter());

/** Tabulator's roles for the heads of groups and for the part that scrolls are none of ARIA's. */
function mendRoles() {
  for (const group of document.querySelectorAll("#table [role=columngroup]")) {
    group.setAttribute("role", "presentation");
    for (const name of ["aria-sort", "aria-title"]) group.removeAttribute(name);
  }
  document.getElementById("table").removeAttribute("aria-owns");
  document.querySelector("#table .tabulator-tableholder").setAttribute("role", "rowgroup");
  document.querySelector("#table .tabulator-table").setAttribute("role", "presentation");
}

table.on("tableBuilt", () => {
  mendRoles();
  const sheet = document.querySelector("#columns .sheet");
  fill(sheet, [...real, ...anonymous, ...study].map(({ field }) =>
    h("label", { class: "inline" },
      h("input", {
        type: "checkbox",
        checked: table.getColumn(field).isVisible(),
        onchange: (event) => show(field, event.target.checked),
      }),
      capital(labels.get(field)))));
});

function show(field, visible) {
  const one = table.getColumn(field);
  if (visible) one.show();
  else one.hide();
  const hidden = table.getColumns().filter((each) => !each.isVisible()).map((each) => each.getField());
  localStorage.setItem(HIDDEN, JSON.stringify(hidden));
}

for (const button of document.querySelectorAll("[data-export]")) {
  button.addEventListener("click", async () => {
    const format = button.dataset.export;
    const buttons = [...document.querySelectorAll("[data-export]")];
    for (const each of buttons) each.disabled = true;
    notice(message, "info", `The ${format.toUpperCase()} file is being made. A million rows take some minutes; stay on this page.`);
    try {
      const { name: file } = await saveFile("lookup/export", { ...asked, format });
      notice(message, "good", `${file} is saved with your downloads. It tells who the patients are: keep it as safe as the patients' records.`);
    } catch (error) {
      notice(message, "bad", error.message);
    }
    for (const each of buttons) each.disabled = false;
  });
}

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
});
