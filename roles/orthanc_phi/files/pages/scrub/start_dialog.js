// SPDX-License-Identifier: GPL-3.0-or-later
// How the chosen studies are to be anonymized: asked once for all of them, then started.
import { get, post } from "../shared/api.js";
import { fill, h, notice, told } from "../shared/dom.js";
import { count, day, person } from "../shared/words.js";

const SHOWN = 20; // patients whose pseudonym is looked up at once

/** Ask, and start the studies; `started(text, kind)` is told what came of it. */
export async function askToStart(dialog, studies, { started }) {
  const place = h("div");
  const plan = h("tbody");
  const done = studies.filter((study) => study.projects.some((one) => one.state === "delivered"));
  const form = h("form", { method: "dialog" }, place,
    h("div", { class: "plan", tabindex: 0, role: "region", "aria-label": "The chosen studies" },
      h("table", {}, h("thead", {}, h("tr", {}, ["Patient", "Study", "Becomes"].map((word) => h("th", { scope: "col" }, word)))), plan)),
    h("div", { id: "choices" }),
    h("fieldset", {}, h("legend", {}, "When it is done"),
      h("label", { class: "inline" }, h("input", { type: "radio", name: "review", value: "", checked: true }),
        "Send it to the destinations at once"),
      h("label", { class: "inline" }, h("input", { type: "radio", name: "review", value: "first" }),
        "Show me the result first: it comes back to PHI and goes out when somebody releases it")),
    done.length ? h("label", { class: "inline" }, h("input", { type: "checkbox", name: "force" }),
      `Do it again for ${count(done.length, "study", "studies")} that ${done.length === 1 ? "is" : "are"} delivered already`) : null,
    h("label", {}, "Note ", h("input", { name: "note", maxlength: 500, placeholder: "Why, for the record (optional; no patient's data)" })));
  const startButton = h("button", { class: "primary", type: "button" }, `Start ${count(studies.length, "study", "studies")}`);
  fill(dialog,
    h("header", {}, h("h2", { id: "dialog-title" }, `Anonymize ${count(studies.length, "study", "studies")}`),
      h("button", { class: "icon", "aria-label": "Close", onclick: () => dialog.close() }, "×")),
    form,
    h("footer", {}, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), startButton));
  dialog.showModal();
  fill(plan, studies.slice(0, 200).map(planRow));
  const looked = (project) => showPseudonyms(studies, plan, project).catch((error) => notice(place, "bad", error.message));
  startButton.addEventListener("click", async () => {
    startButton.disabled = true;
    const outcome = await startAll(studies, choices(form), (number) => {
      startButton.textContent = `Started ${number} of ${studies.length}`;
    });
    dialog.close();
    started(...words(outcome));
  });
  await looked(await offerChoices(form, studies, { looked, startButton }));
}

const planRow = (study) => h("tr", { "data-study": study.orthanc_id },
  h("td", {}, told(person(study.patient_name)), h("span", { class: "second" }, told(study.patient_id))),
  h("td", {}, `${day(study.study_date)} `, told(study.description)),
  h("td", { class: "becomes" }, "…"));

/** Look up what each patient will be called; of many, only the first ones. */
async function showPseudonyms(studies, plan, project) {
  const mine = (plan.dataset.project = project ?? "");
  for (const [index, study] of studies.entries()) {
    const cell = plan.querySelector(`tr[data-study="${study.orthanc_id}"] .becomes`);
    if (!cell) return;
    if (index >= SHOWN) {
      cell.textContent = "";
      continue;
    }
    const { pseudonym, subjects } = await get(`studies/${study.orthanc_id}/patient`, { project });
    if (plan.dataset.project !== mine) return; // another base name was chosen meanwhile
    fill(cell, h("code", {}, pseudonym.patient_name),
      h("span", { class: "second" }, subjects.length ? "a patient who is known already" : "the next free number"));
  }
}

/**
 * Offer the base names, profiles and destinations of the site where there is something to choose.
 * A base name is a project's, with the project's keys and destinations. Returns the project that is chosen first.
 */
async function offerChoices(form, studies, { looked, startButton }) {
  const { profiles = [], choices: offered = [] } = await get("status").catch(() => ({}));
  const joined = new Set(studies.flatMap((study) => study.projects.map((one) => one.project)));
  const first = offered.find((one) => joined.size === 1 && joined.has(one.project)) ?? offered[0];
  const destinations = h("fieldset", { hidden: true });
  const review = form.elements.review;
  let wanted = review.value;
  for (const button of review) button.addEventListener("change", () => { wanted = button.value; });
  const choose = (one) => {
    const several = one && one.destinations.length > 1;
    destinations.hidden = !several;
    fill(destinations, h("legend", {}, "Send to"), several ? h("div", { class: "row" }, one.destinations.map((name) =>
      h("label", { class: "inline" }, h("input", { type: "checkbox", name: "destination", value: name, checked: true, onchange: check }), name))) : "");
    for (const button of review) {
      button.disabled = Boolean(one?.review);
      button.checked = button.value === (one?.review ? "first" : wanted);
    }
    check();
  };
  const check = () => {
    const boxes = [...form.querySelectorAll("[name=destination]")];
    startButton.disabled = boxes.length > 0 && !boxes.some((box) => box.checked);
    startButton.title = startButton.disabled ? "Choose a destination" : "";
  };
  const project = offered.length > 1 ? h("label", {}, "Base name (project) ", h("select", { name: "project", onchange: (event) => {
    choose(offered.find((one) => one.project === event.target.value));
    looked(event.target.value);
  } }, offered.map((one) => h("option", { value: one.project, selected: one === first }, `${one.base_name} (${one.project})`)))) : null;
  const profile = profiles.length ? h("label", {}, "Profile ", h("select", { name: "profile" },
    h("option", { value: "" }, "As the project says"), profiles.map((name) => h("option", {}, name)))) : null;
  fill(form.querySelector("#choices"), project || profile ? h("div", { class: "fields" }, project, profile) : "", destinations);
  choose(first);
  return first?.project;
}

function choices(form) {
  const { review, force, note, profile, project } = form.elements;
  const boxes = [...form.querySelectorAll("[name=destination]")];
  const wanted = boxes.filter((box) => box.checked).map((box) => box.value);
  return {
    ...(review.value && { review: true }),
    ...(force?.checked && { force: true }),
    ...(note.value.trim() && { note: note.value.trim() }),
    ...(profile?.value && { profile: profile.value }),
    ...(project?.value && { project: project.value }),
    ...(boxes.length && { destinations: wanted.length === boxes.length ? [] : wanted }),
  };
}

async function startAll(studies, choice, tell) {
  const outcome = { started: 0, kept: 0, failed: [] };
  for (const study of studies) {
    try {
      const now = await post(`studies/${study.orthanc_id}/anonymize`, choice);
      if (now.state === "delivered") outcome.kept += 1;
      else outcome.started += 1;
    } catch (error) {
      outcome.failed.push([study, error]);
    }
    tell(outcome.started + outcome.kept);
  }
  return outcome;
}

function words({ started, kept, failed }) {
  const parts = [];
  if (started) parts.push(`${count(started, "study was", "studies were")} started.`);
  if (kept) parts.push(`${count(kept, "study is", "studies are")} delivered already and unchanged.`);
  for (const [study, error] of failed.slice(0, 3)) parts.push(`${day(study.study_date)} ${study.accession}: ${error.message}`);
  if (failed.length > 3) parts.push(`And ${failed.length - 3} more failed.`);
  return [parts.join(" "), failed.length ? "bad" : "good"];
}
