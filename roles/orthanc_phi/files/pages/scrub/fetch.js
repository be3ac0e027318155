// SPDX-License-Identifier: GPL-3.0-or-later
// Studies in the PACS: looked for, chosen, and followed while they come to PHI.
import { get, post } from "../shared/api.js";
import { fill, h, notice } from "../shared/dom.js";
import { keepFresh, start } from "../shared/layout.js";
import { count, dicomDay } from "../shared/words.js";
import { accessionsOf } from "./accession_list.js";
import { drawFetches } from "./fetch_list.js";
import { askNode, nodes, studyCells } from "./pacs_answers.js";

await start();
const message = document.getElementById("message");
const answers = document.getElementById("answers");
const query = document.getElementById("query");
const list = document.getElementById("list");
const tell = (error) => notice(message, "bad", error.message);

const all = await nodes().catch((error) => (tell(error), []));
query.elements.node.append(...all.map((node) => h("option", {}, node.name)));
if (!all.length && !message.hasChildNodes()) {
  notice(message, "info", "No node may be asked yet. An administrator names it in the setting orthanc_phi_pacs.");
}

query.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { node, ...told } = Object.fromEntries(new FormData(query));
  fill(answers, h("p", { class: "soft", role: "status" }, `Asking ${node}…`));
  try {
    const found = await askNode(node, { ...told, date_from: dicomDay(told.date_from), date_to: dicomDay(told.date_to) });
    drawAnswers(node, found);
  } catch (error) {
    notice(answers, "bad", error.message);
  }
});

function drawAnswers(node, { studies, more }) {
  if (!studies.length) {
    notice(answers, "info", `${node} has no study that matches. Take a condition away, or write * for what you do not know.`);
    return;
  }
  const boxes = studies.map((study) => h("input", { type: "checkbox", checked: !study.held, "aria-label": `Choose ${study.accession || study.study_instance_uid}`, onchange: () => drawChosen() }));
  const button = h("button", { class: "primary", type: "button", onclick: () => begin() });
  const every = h("input", { type: "checkbox", "aria-label": "Choose all", onchange: () => {
    for (const box of boxes) box.checked = every.checked;
    drawChosen();
  } });
  const drawChosen = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    button.textContent = `Fetch ${count(chosen, "study", "studies")}`;
    button.disabled = chosen === 0;
    every.checked = chosen === boxes.length;
    every.indeterminate = chosen > 0 && chosen < boxes.length;
  };
  const begin = () => startFetch({ node, studies: studies.filter((_, index) => boxes[index].checked).map(({ held, ...study }) => study) });
  fill(answers,
    h("div", { class: "row apart toolbar" },
      h("p", { role: "status" }, `${node} has ${more ? "more than " : ""}${count(studies.length, "study", "studies")}`,
        more ? ". Narrow the search to see the others." : ""), button),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Studies in the PACS" }, h("table", { class: "studies" },
      h("thead", {}, h("tr", {}, h("th", { class: "tick" }, every), ["Patient", "Study date", "Accession", "Study", ""].map((word) => h("th", { scope: "col" }, word)))),
      h("tbody", {}, studies.map((study, index) => h("tr", {}, h("td", { class: "tick" }, boxes[index]), studyCells(study),
        h("td", {}, study.held ? h("span", { class: "badge good" }, "on PHI") : "")))))));
  drawChosen();
}

list.elements.file.addEventListener("input", takeFile);
list.elements.accessions.addEventListener("input", countListed);
// A file may have been chosen before this script was there.
await takeFile();

async function takeFile() {
  const [file] = list.elements.file.files;
  if (file) list.elements.accessions.value = await file.text();
  countListed();
}

function countListed() {
  const { accessions, repeated } = accessionsOf(list.elements.accessions.value);
  document.getElementById("listed").textContent = accessions.length
    ? `${count(accessions.length, "accession")}${repeated ? `, ${repeated} written more than once` : ""}` : "";
}
list.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { accessions } = accessionsOf(list.elements.accessions.value);
  if (accessions.length) await startFetch({ node: query.elements.node.value, accessions }) && list.reset();
  else notice(message, "bad", "There is no accession number in the list. Write one in each line, or choose a file.");
});

async function startFetch(wanted) {
  try {
    const { items } = await post("fetches", wanted);
    notice(message, "good", `${count(items.length, "study is", "studies are")} being fetched. Follow them below.`);
    fill(answers);
    await draw();
    return true;
  } catch (error) {
    tell(error);
    return false;
  }
}

const place = document.getElementById("fetches");
const draw = async () => drawFetches(place, (await get("fetches")).fetches, tell);
keepFresh(draw, message);

// Only now does a button do what it says.
for (const button of document.querySelectorAll("form button")) button.disabled = !all.length;
