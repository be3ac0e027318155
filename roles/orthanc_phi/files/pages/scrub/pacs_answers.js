// SPDX-License-Identifier: GPL-3.0-or-later
// What a node of the inventory knows of a patient, shown beside what PHI holds.
import { get, post } from "../shared/api.js";
import { fill, h, notice, told } from "../shared/dom.js";
import { count, day, person } from "../shared/words.js";

/** The nodes that may be asked, in the order of the inventory. */
export const nodes = async () => (await get("nodes")).nodes;

/** Ask one node, and return its studies. */
export const askNode = (node, query) => post(`nodes/${node}/query`, query);

/** Make the cells that tell of a study in the PACS. */
export const studyCells = (study) => [
  h("th", { scope: "row" }, told(person(study.patient_name) || "(no name)"), h("span", { class: "second soft" }, told(study.patient_id))),
  h("td", {}, day(study.study_date)),
  h("td", {}, told(study.accession)),
  h("td", {}, study.modalities.map((name) => h("span", { class: "modality" }, told(name))), told(study.description),
    h("span", { class: "second" }, study.instances === null ? "" : count(study.instances, "instance"))),
];

/** Ask every node about a patient, and show what they answer. */
export async function showPacs(place, query) {
  fill(place, h("p", { class: "soft", role: "status" }, "Asking…"));
  try {
    const all = await nodes();
    if (!all.length) {
      notice(place, "info", "The inventory names no node that may be asked. An administrator adds `find` to what a node allows.");
      return;
    }
    fill(place);
    for (const node of all) {
      const part = h("div");
      place.append(part);
      try {
        const { studies } = await askNode(node.name, query);
        const missing = studies.filter((study) => !study.held).length;
        fill(part, h("h3", {}, told(node.name), ` knows ${count(studies.length, "study", "studies")}, ${missing} of them not on PHI`),
          studies.length ? h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, studies.map((study) =>
            h("tr", {}, studyCells(study), h("td", {}, study.held ? h("span", { class: "badge good" }, "on PHI") : "")))))) : null);
      } catch (error) {
        notice(part, "bad", told(node.name), `: ${error.message}`);
      }
    }
  } catch (error) {
    notice(place, "bad", error.message);
  }
}
