// SPDX-License-Identifier: GPL-3.0-or-later
// One study that is held back: why, where, what to do, and what came of it.
import { ask, follow, get, post, root } from "../shared/api.js";
import { announce, fill, h, notice, told } from "../shared/dom.js";
import { count, moment, STATES } from "../shared/words.js";
import { attributes } from "./attributes.js";
import { drawing } from "./drawing.js";
import { title } from "./reasons.js";

let shown = 0;

/** Show a study at `place`; `changed` is called when something was decided about it. */
export async function showStudy(place, me, orthancId, changed) {
  const turn = ++shown;
  const study = await get(`studies/${orthancId}/review`);
  if (turn !== shown) return;
  const message = h("div");
  const result = h("div");
  const images = h("div");
  fill(place, h("article", { class: "card" },
    h("div", { class: "row apart" }, h("h2", {}, title(study.code)), badge(study.state)),
    h("p", { class: "reason" }, sentence(study.message)),
    message,
    attributes(study.findings),
    images,
    decisions(),
    result,
    past(study.events)));
  await pictures();

  function decisions() {
    const note = h("textarea", { rows: 2, maxlength: 1000, placeholder: "Why? Write no name or number of a patient here." });
    const act = (path, what) => async () => {
      if (path === "release" && !note.value.trim()) {
        notice(message, "bad", "Write why it may go out before you release it.");
        note.focus();
        return;
      }
      await decided(() => post(`studies/${orthancId}/${path}`, { note: note.value.trim(), project: study.project }), what);
    };
    const may = me.may.includes("release");
    return h("section", { class: "decide" },
      h("h3", {}, "Decide"),
      h("label", {}, "Note", note),
      h("div", { class: "row" },
        may && study.can_be_released && h("button", { type: "button", onclick: act("release", "It goes out.") }, "Release as it is"),
        h("button", { type: "button", onclick: act("retry", "It is anonymized once more.") }, "Try again"),
        may && h("button", { type: "button", class: "danger", onclick: act("reject", "It stays here.") }, "Reject"),
        h("a", { class: "button", href: `${new URL("app/explorer.html", root)}#study?uuid=${orthancId}`, target: "_blank", rel: "noopener" }, "Open in PHI")),
      h("small", {}, study.can_be_released ? "" : "This cannot be released, only corrected. ", "Release: it goes out although this was found. Try again: after something was corrected. Reject: it never goes out unless somebody tries again."));
  }

  async function pictures() {
    const instances = await instancesOf(orthancId, study.findings);
    if (turn !== shown || !instances.length) return;
    if (study.state === "review") fill(result, h("h3", {}, "What would go out"), await compare(me, study, instances[0].id));
    const pad = drawing(study, instances, async ({ instance, rectangles, scope, note }) => {
      if (scope === "device" && !confirm("Blank this in all images of this device and size, in all studies from now on?")) return;
      await decided(
        () => post(`studies/${orthancId}/blank`, { instance, rectangles, scope, note }),
        "The rule is kept. The study is anonymized again.",
        instance,
      );
    });
    fill(images, pad);
  }

  async function decided(action, what, instance) {
    try {
      await action();
      notice(message, "good", what);
      announce(what);
      await changed();
      await outcome(instance);
      await changed();
    } catch (error) {
      notice(message, "bad", error.message);
    }
  }

  async function outcome(instance) {
    let now;
    fill(result, h("p", { role: "status" }, "It waits for a worker…"), h("progress", { "aria-label": "The study is worked on" }));
    await follow(async () => {
      const all = await get(`studies/${orthancId}`);
      now = [all, ...(all.other_projects ?? [])].find((one) => one.project === study.project) ?? all;
      if (turn !== shown) return false;
      const [word, , text] = STATES[now.state] ?? [now.state, "", ""];
      fill(result.firstChild, `${word}: ${text}`);
      return !now.finished;
    }, { seconds: 1 });
    if (turn !== shown) return;
    if (now.state === "quarantined") {
      await showStudy(place, me, orthancId, changed);
      return;
    }
    fill(result, h("h3", {}, "What came of it"), h("p", {}, badge(now.state), " ", STATES[now.state]?.[2] ?? ""));
    if (instance) result.append(await compare(me, now, instance));
  }
}

const badge = (state) => {
  const [word, look, text] = STATES[state] ?? [state, "quiet", ""];
  return h("span", { class: `badge ${look}`, title: text }, word);
};

const sentence = (text) => {
  const words = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(words) ? words : `${words}.`;
};

const past = (events) => h("details", { class: "past" },
  h("summary", {}, `What happened so far (${count(events.length, "event")})`),
  h("ol", {}, events.map((one) => h("li", {},
    h("span", { class: "soft" }, moment(one.at)), " ", h("strong", {}, one.action), " by ", told(one.actor),
    one.detail ? h("span", { class: "second" }, told(one.detail)) : null))));

/** The instances of a study, those that something was found in first. */
async function instancesOf(orthancId, findings) {
  const found = [...new Set(findings.map((one) => one.instance_id))];
  let all = [];
  try {
    all = await ask(root, `studies/${orthancId}/instances`);
  } catch {
    return [];
  }
  const number = (one) => Number(one.MainDicomTags.InstanceNumber ?? 0);
  const first = (one) => (found.includes(one.ID) ? 0 : 1);
  return all.sort((one, other) => first(one) - first(other) || number(one) - number(other))
    .map((one) => ({ id: one.ID, number: one.MainDicomTags.InstanceNumber ?? "", found: found.includes(one.ID) }));
}

/** The image as it came and as it went out, side by side. */
async function compare(me, { state, anonymous_study_uid: uid }, instance) {
  const anon = me.orthancs.find((one) => one.kind === "anon");
  if (state !== "review" && (state !== "delivered" || !anon)) return "";
  // What waits to be looked at lies on PHI itself.
  const base = state === "review" ? root : new URL(anon.url, root);
  try {
    const tags = await ask(root, `instances/${instance}/simplified-tags`);
    const Query = { StudyInstanceUID: uid, ...(tags.InstanceNumber ? { InstanceNumber: tags.InstanceNumber } : {}) };
    const [there] = await ask(base, "tools/find", { Level: "Instance", Query, Limit: 1 });
    if (!there) return h("p", { class: "soft" }, "The result is at its destinations.");
    const picture = (from, id, text) => h("figure", {}, h("img", { src: new URL(`instances/${id}/rendered`, from).href, alt: text }), h("figcaption", {}, text));
    return h("div", { class: "pair" }, picture(root, instance, "As it came"), picture(base, there, "As it went out"));
  } catch (error) {
    return h("p", { class: "soft" }, `The result cannot be shown here: ${error.message}`);
  }
}
