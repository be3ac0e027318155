// SPDX-License-Identifier: GPL-3.0-or-later
// One study of the table: whose it is, what it is, and where it stands.
import { h, told } from "../shared/dom.js";
import { count, day, moment, person, STATES } from "../shared/words.js";

const BUSY = new Set(["queued", "working", "delivering"]);

/** Whether something is being done with a study now. */
export const isBusy = (study) => (study.projects ?? []).some((one) => BUSY.has(one.state));

/** The states of a study as badges, one for each project. */
export function badges(study) {
  if (study.anonymous) return [h("span", { class: "badge", title: "An anonymized study that waits here for review" }, "result")];
  const projects = study.projects.length ? study.projects : [{ state: "unknown" }];
  return projects.map((one) => {
    const [word, look, meaning] = STATES[one.state] ?? [one.state, "quiet", ""];
    const where = study.projects.length > 1 ? `${one.project}: ` : "";
    const far = one.progress ? ` ${percent(one.progress)}\u00a0%` : "";
    return h("span", { class: `badge ${look}`, title: meaning }, where + word + far);
  });
}

function percent({ instances, deidentified, destinations }) {
  const sum = (name) => destinations.reduce((all, one) => all + one[name], 0);
  const [done, total] = destinations.length ? [sum("sent"), sum("instances")] : [deidentified, instances];
  return Math.floor((100 * done) / (total || 1));
}

const modalities = (study) => study.modalities.map((name) => h("span", { class: "modality" }, told(name)));

/** What a study is called for people with a screen reader. */
export const title = (study) => `${person(study.patient_name) || study.patient_id || "no name"}, ${day(study.study_date)}`;

/** Make a row. `choose(is)` and `open()` are called when people do so. */
export function studyRow(study, { selectable, chosen, choose, open }) {
  const tick = selectable
    ? h("input", { type: "checkbox", checked: chosen, "aria-label": `Choose ${title(study)}`, onchange: (event) => choose(event.target.checked) })
    : "";
  return h("tr", { "data-study": study.orthanc_id, "aria-selected": String(chosen) },
    h("td", { class: "tick" }, tick),
    h("th", { scope: "row" },
      h("button", { type: "button", onclick: open, "aria-haspopup": "dialog" }, told(person(study.patient_name) || "(no name)")),
      h("span", { class: "second soft" }, told(study.patient_id))),
    h("td", { class: "date" }, day(study.study_date)),
    h("td", {}, told(study.accession)),
    h("td", {}, modalities(study), told(study.description),
      h("span", { class: "second date" }, `${count(study.series, "series", "series")}, ${count(study.instances, "instance")}`)),
    h("td", { class: "date" }, moment(study.received_at), h("span", { class: "second" }, study.source ? ["from ", told(study.source)] : "")),
    h("td", {}, badges(study)));
}
