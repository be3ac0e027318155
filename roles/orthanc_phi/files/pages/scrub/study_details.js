// SPDX-License-Identifier: GPL-3.0-or-later
// One study: how far it is, where it went, what is known of its patient, and what became of it.
import { follow, get, post, root } from "../shared/api.js";
import { fill, h, notice, told } from "../shared/dom.js";
import { count, day, moment, person, STATES } from "../shared/words.js";
import { orthancStudy, showComparison } from "./comparison.js";
import { showPacs } from "./pacs_answers.js";
import { badges } from "./study_row.js";

const WAY = ["received", "queued", "working", "delivering", "delivered"];
const WAY_WORDS = ["Received", "Waiting", "Anonymizing", "Delivering", "Delivered"];
const OPEN = new Set(["queued", "working", "delivering", "received", "stable"]);

/** Open the dialog of a study; `changed()` is called when something was started in it. */
export async function showDetails(dialog, study, me, changed) {
  const may = new Set(me.may);
  const place = h("div");
  const progress = h("section", { "aria-label": "Progress" });
  const patient = h("section", { "aria-label": "Patient" });
  const result = h("section", { "aria-label": "Result" });
  fill(dialog,
    h("header", {},
      h("div", {}, h("h2", { id: "dialog-title" }, told(person(study.patient_name) || "(no name)")),
        h("p", { class: "soft" }, told(study.patient_id), study.birth_date ? `, born ${day(study.birth_date)}` : "")),
      h("button", { class: "icon", "aria-label": "Close", onclick: () => dialog.close() }, "×")),
    place,
    h("section", { "aria-label": "Study" }, facts(study)),
    progress, patient, result);
  dialog.showModal();
  const tell = (error) => notice(place, "bad", error.message);
  if (study.anonymous) {
    progress.append(h("p", {}, "This study is anonymized. It came back to PHI so that somebody looks at it before it goes out."));
    return;
  }
  if (!may.has("anonymize")) {
    progress.append(h("p", {}, badges(study)));
    return;
  }
  showPatient(patient, study, may).catch(tell);
  let compared = false;
  await follow(async () => {
    if (!dialog.open || !dialog.contains(place)) return false;
    const now = await get(`studies/${study.orthanc_id}`).catch((error) => {
      if (error.status === 404) return null;
      throw error;
    });
    fill(progress, ...progressOf(now, study, me, () => startAgain(study, tell, changed)));
    if (now?.anonymous_study_uid && !compared && ["delivered", "review"].includes(now.state)) {
      compared = true;
      showComparison(result, study, me).catch(tell);
    }
    return !now || OPEN.has(now.state);
  }, { away: (error) => (error ? tell(error) : fill(place)) }).catch(tell);
}

function facts(study) {
  const lines = [
    ["Study", [told(study.description || "(no description)"), ` of ${day(study.study_date) || "an unknown day"}`]],
    ["Accession", told(study.accession || "none")],
    ["Holds", `${study.modalities.join(", ")}: ${count(study.series, "series", "series")}, ${count(study.instances, "instance")}`],
    ["Received", [moment(study.received_at), study.source ? [" from ", told(study.source)] : ""]],
    ["On PHI", h("a", { href: `${root}app/explorer.html#study?uuid=${study.orthanc_id}` }, "Open in Orthanc")],
  ];
  return h("dl", { class: "facts" }, lines.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function progressOf(now, study, me, again) {
  const state = now?.state ?? "received";
  const [word, look, meaning] = STATES[state] ?? [state, "quiet", ""];
  const at = WAY.indexOf(state === "stable" ? "received" : state);
  const steps = h("ol", { class: "steps" }, WAY.map((name, index) => {
    const past = index < at || state === "delivered";
    const here = index === at ? "now" : "";
    const stopped = state === "quarantined" && name === "working" ? "stopped" : "";
    return h("li", { class: [past && "past", here, stopped].filter(Boolean).join(" "), "aria-current": here ? "step" : null }, WAY_WORDS[index]);
  }));
  const parts = [h("h2", {}, "Progress"), steps,
    h("p", {}, h("span", { class: `badge ${look}` }, word), ` ${meaning}`)];
  if (now?.progress) parts.push(instanceBars(now.progress));
  if (now?.reason) parts.push(h("div", { class: `notice ${state === "quarantined" ? "bad" : ""}` }, now.reason));
  if (now?.destinations?.length) parts.push(destinations(now, study, me));
  if (state === "quarantined" && me.may.includes("review")) {
    parts.push(h("p", {}, h("a", { class: "button", href: new URL(`extra/review/quarantine.html?study=${study.orthanc_id}`, root).href }, "Look at it in Review")));
  }
  if (!OPEN.has(state) || state === "stable" || !now) {
    parts.push(h("p", {}, h("button", { type: "button", onclick: again }, now && state !== "stable" ? "Anonymize again" : "Anonymize")));
  }
  return parts;
}

/** How many instances are read, de-identified, and at each destination. */
function instanceBars({ instances, read, deidentified, destinations: there }) {
  const lines = [
    ["Read from PHI", read, instances],
    ["De-identified", deidentified, instances],
    ...there.map((one) => [[`Sent to `, told(one.destination), one.verified ? ", verified there" : ""], one.sent, one.instances]),
  ];
  return h("div", { class: "bars" }, lines.map(([words, done, total]) => h("label", {},
    h("span", {}, words), h("progress", { max: total || 1, value: done }),
    h("span", { class: "number soft" }, `${done.toLocaleString("en-US")} of ${total.toLocaleString("en-US")}`))));
}

function destinations(now, study, me) {
  const rows = now.destinations.map((one) => {
    const orthanc = me.orthancs.find((each) => each.name === one.destination);
    const link = orthanc?.kind === "anon" && one.state === "delivered"
      ? h("button", { type: "button", class: "link", "data-find": now.anonymous_study_uid, "data-base": new URL(orthanc.url, root).href, onclick: openStudy }, "Open there")
      : "";
    const quiet = ["left_out", "withdrawn"].includes(one.state);
    const look = one.state === "delivered" ? "good" : one.last_error ? "bad" : quiet ? "quiet" : "busy";
    return h("tr", {}, h("th", { scope: "row" }, one.destination),
      h("td", {}, h("span", { class: `badge ${look}` }, one.state.replace("_", " "))),
      h("td", { class: "number" }, one.instances ? count(one.instances, "instance") : ""),
      h("td", {}, one.delivered_at ? moment(one.delivered_at) : one.last_error ?? ""), h("td", {}, link));
  });
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Destination", "State", "Arrived", "When, or why not", ""].map((word) => h("th", { scope: "col" }, word)))),
    h("tbody", {}, rows)));
}

/** Orthanc's explorer wants its own identifier of a study, which the other Orthanc has to be asked for. */
async function openStudy(event) {
  const { find, base } = event.currentTarget.dataset;
  const id = await orthancStudy(base, find).catch(() => null);
  location.href = `${base}app/explorer.html#${id ? `study?uuid=${id}` : ""}`;
}

async function startAgain(study, tell, changed) {
  try {
    await post(`studies/${study.orthanc_id}/anonymize`, { force: true });
    changed();
    document.getElementById("dialog").close();
  } catch (error) {
    tell(error);
  }
}

async function showPatient(place, study, may) {
  const known = await get(`studies/${study.orthanc_id}/patient`);
  const [subject] = known.subjects;
  const former = [...new Set(known.subjects.flatMap((one) => one.identifiers.map((each) => each.patient_id)))]
    .filter((id) => id && id !== study.patient_id);
  const others = known.studies.filter((one) => one.orthanc_id !== study.orthanc_id);
  const lines = [
    ["Pseudonym", [h("code", {}, known.pseudonym.patient_name), subject ? "" : h("small", {}, " the next free number, given with the first study")]],
    ["Subject", subject ? `number ${subject.number}, ${count(subject.studies, "study", "studies")}, since ${moment(subject.created_at)}` : "not known yet"],
    former.length ? ["Former IDs", told(former.join(", "))] : null,
    others.length ? ["Other studies on PHI", h("ul", {}, others.slice(0, 10).map((one) =>
      h("li", {}, `${day(one.study_date)} ${one.modalities.join(", ")} `, told(one.description),
        h("small", {}, ` ${one.states.map((state) => (STATES[state] ?? [state])[0]).join(", ") || "new"}`))))] : null,
  ].filter(Boolean);
  fill(place, h("h2", {}, "What is known of the patient"),
    h("dl", { class: "facts" }, lines.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
  if (may.has("fetch")) {
    const answers = h("div");
    place.append(h("p", {}, h("button", { type: "button", onclick: () => showPacs(answers, { patient: study.patient_id }) }, "Ask the PACS about this patient")), answers);
  }
}

