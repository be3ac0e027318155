// SPDX-License-Identifier: GPL-3.0-or-later
// The studies that are held back: the list, the study that is looked at, and the rules that were drawn.
import { get, remove } from "../shared/api.js";
import { fill, h, notice, told } from "../shared/dom.js";
import { start } from "../shared/layout.js";
import { count, day, duration, moment, person } from "../shared/words.js";
import { showStudy } from "./study.js";
import { title } from "./reasons.js";

const me = await start();
const at = (id) => document.getElementById(id);
let chosen = decodeURIComponent(location.hash.slice(1));

function entry(one) {
  const age = (Date.now() - new Date(one.updated_at)) / 1000;
  return h("li", {}, h("button", {
    type: "button", class: "entry", "aria-current": one.orthanc_id === chosen ? "true" : null,
    // Again on what is looked at changes nothing, so that what was typed or drawn there stays.
    onclick: () => one.orthanc_id === chosen || choose(one.orthanc_id),
  },
  h("strong", {}, title(one.code)),
  h("span", {}, told(one.patient_name ? person(one.patient_name) : "Patient not read"), " ", h("span", { class: "soft" }, told(one.patient_id))),
  h("small", {}, [one.study_date && day(one.study_date.replaceAll("-", "")), one.findings && count(one.findings, "finding"), `for ${duration(age)}`].filter(Boolean).join(" · "))));
}

async function list() {
  const { studies, more } = await get("review");
  at("number").textContent = `${studies.length}${more ? "+" : ""}`;
  fill(at("waiting"), studies.length ? studies.map(entry) : h("li", { class: "empty" }, "Nothing waits for a person."));
  return studies;
}

async function rules() {
  const { rules: all } = await get("drawn-rules");
  fill(at("rules"), all.length ? h("div", { class: "plain-scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Rule", "For", "Blanks", "Why", "Drawn by", ""].map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, all.map((rule) => h("tr", {},
      h("td", {}, `${rule.number}`),
      h("td", {}, rule.scope === "device"
        ? told(["Manufacturer", "ManufacturerModelName", "Modality"].map((name) => rule.conditions[name]).join(" · "))
        : "one study",
      h("span", { class: "second" }, `${rule.conditions.Columns} × ${rule.conditions.Rows} pixels`)),
      h("td", {}, count(rule.rectangles.length, "rectangle")),
      h("td", {}, told(rule.note || "–")),
      h("td", {}, told(rule.created_by), h("span", { class: "second" }, moment(rule.created_at))),
      h("td", {}, h("button", { type: "button", class: "danger", onclick: () => end(rule) }, "End"))))))) : h("p", { class: "soft" }, "Nobody has drawn a rule."));
}

async function end(rule) {
  if (!confirm(`End rule ${rule.number}? What is anonymized from now on is not blanked by it. What went out stays as it is.`)) return;
  await said(async () => {
    await remove(`drawn-rules/${rule.number}`);
    await rules();
  });
}

async function choose(orthancId) {
  chosen = orthancId;
  history.replaceState(null, "", `#${encodeURIComponent(orthancId)}`);
  const shown = await said(async () => {
    await list();
    await showStudy(at("study"), me, orthancId, refresh);
    // In a narrow window the study is below the list.
    if (innerWidth <= 1000) at("study").scrollIntoView();
  });
  if (!shown && chosen === orthancId) chosen = "";
}

async function refresh() {
  await said(async () => {
    await list();
    await rules();
  });
}

async function said(action) {
  try {
    await action();
    fill(at("message"));
    return true;
  } catch (error) {
    notice(at("message"), "bad", error.message);
    return false;
  }
}

await said(async () => {
  const studies = await list();
  await rules();
  if (chosen) await choose(chosen);
  else if (studies.length) await choose(studies[0].orthanc_id);
});

// What comes to wait meanwhile shows up by itself; what is looked at stays as it is.
setInterval(() => document.hidden || list().catch(() => {}), 15_000);
