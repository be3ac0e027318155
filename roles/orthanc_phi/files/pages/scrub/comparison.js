// SPDX-License-Identifier: GPL-3.0-or-later
// What became of a study: its images side by side, and its attributes before and after. Both Orthancs
// are asked by the browser, with the person's own account.
import { ask, get, root } from "../shared/api.js";
import { fill, h, notice, told } from "../shared/dom.js";
import { count } from "../shared/words.js";

const CLEANED_PIXELS = "113101"; // CID 7050, Clean Pixel Data Option

/** Orthanc's identifier of a study at `base`, by its Study Instance UID; null if it is not there. */
export async function orthancStudy(base, uid) {
  const found = await ask(base, "tools/find", { Level: "Study", Query: { StudyInstanceUID: uid } });
  return found[0] ?? null;
}

async function findInstance(bases, uid) {
  let refused = null;
  for (const base of bases) {
    try {
      const found = await ask(base, "tools/find", { Level: "Instance", Query: { SOPInstanceUID: uid } });
      if (found.length) return { base, id: found[0] };
    } catch (error) {
      refused = error;
    }
  }
  if (refused) throw refused;
  return null;
}

/** Draw the comparison of a study that was anonymized. */
export async function showComparison(place, study, me) {
  const { series } = await get(`studies/${study.orthanc_id}/instances`);
  const bases = [...me.orthancs.filter((one) => one.kind === "anon").map((one) => new URL(one.url, root)), root];
  const view = h("div");
  const choice = h("select", { onchange: () => select(0) }, series.map((one, index) =>
    h("option", { value: index }, `${one.number ?? index + 1}: ${one.modality} ${one.description} (${one.instances.length})`)));
  const slider = h("input", { type: "range", min: 0, value: 0, "aria-label": "Image of the series", oninput: () => show() });
  const next = h("button", { type: "button", onclick: () => findBlanked() }, "Next blanked image");
  const label = h("label", {}, "Image", slider);
  fill(place, h("h2", {}, "Before and after"),
    h("div", { class: "browse" }, h("label", {}, "Series", choice), label, next), view);
  let turn = 0;

  const current = () => series[choice.value].instances;
  async function select(index) {
    slider.max = current().length - 1;
    slider.value = index;
    await show();
  }
  async function show() {
    const mine = ++turn;
    const instance = current()[slider.value];
    slider.setAttribute("aria-valuetext", `${Number(slider.value) + 1} of ${current().length}`);
    try {
      const after = await findInstance(bases, instance.anonymous_sop_instance_uid);
      const [old, now] = await Promise.all([
        ask(root, `instances/${instance.orthanc_id}/tags`),
        after ? ask(after.base, `instances/${after.id}/tags`) : null,
      ]);
      if (mine === turn) draw(view, instance, after, old, now);
    } catch (error) {
      if (mine === turn) notice(view, "bad", error.message, " You need an account on Anon to see the result.");
    }
  }
  async function findBlanked() {
    next.disabled = true;
    const every = series.flatMap((one, at) => one.instances.map((instance, index) => ({ at, index, instance })));
    const here = every.findIndex((one) => one.at === Number(choice.value) && one.index === Number(slider.value));
    const order = [...every.slice(here + 1), ...every.slice(0, here + 1)];
    for (const [number, one] of order.entries()) {
      next.textContent = `Looking, ${number + 1} of ${order.length}`;
      const after = await findInstance(bases, one.instance.anonymous_sop_instance_uid).catch(() => null);
      const tags = after && await ask(after.base, `instances/${after.id}/tags`).catch(() => null);
      if (tags && wasBlanked(tags)) {
        choice.value = one.at;
        await select(one.index);
        break;
      }
      if (number === order.length - 1) next.textContent = "No image was blanked";
    }
    if (next.textContent.startsWith("Looking")) next.textContent = "Next blanked image";
    next.disabled = false;
  }
  await select(0);
}

const wasBlanked = (tags) =>
  (tags["0012,0064"]?.Value ?? []).some((item) => item["0008,0100"]?.Value === CLEANED_PIXELS);

function draw(place, instance, after, old, now) {
  const blanked = now && wasBlanked(now);
  const rows = compare(old, now ?? {});
  const counts = rows.reduce((sums, row) => ({ ...sums, [row.fate]: (sums[row.fate] ?? 0) + 1 }), {});
  const only = h("input", { type: "checkbox", checked: true });
  const body = h("tbody");
  const drawRows = () => fill(body, rows.filter((row) => !only.checked || row.fate !== "same").map(attributeRow));
  only.addEventListener("change", drawRows);
  drawRows();
  fill(place,
    h("div", { class: "images" },
      picture("Before, on PHI", new URL(`instances/${instance.orthanc_id}/preview`, root), "The image as it came"),
      after
        ? picture(`After${blanked ? ", with pixels blanked" : ""}`, new URL(`instances/${after.id}/preview`, after.base), "The image as it went out")
        : h("figure", {}, h("figcaption", {}, "After"), h("div", { class: "image" }, "This instance is not in the result: it was left out."))),
    h("div", { class: "row apart" },
      h("p", {}, `${count(counts.gone ?? 0, "attribute")} removed, ${counts.changed ?? 0} changed, ${counts.same ?? 0} kept, ${counts.new ?? 0} new`),
      h("label", { class: "inline" }, only, "Only what differs")),
    h("div", { class: "attributes scroll", tabindex: 0, role: "region", "aria-label": "Attributes" },
      h("table", {}, h("thead", {}, h("tr", {}, ["Attribute", "Before", "After"].map((word) => h("th", { scope: "col" }, word)))), body)));
}

function picture(caption, url, text) {
  const frame = h("div", { class: "image" });
  const image = h("img", { src: url.href, alt: text, loading: "lazy", onerror: () => fill(frame, "This instance has no picture.") });
  frame.append(image);
  return h("figure", {}, h("figcaption", {}, caption), frame);
}

const FATES = { gone: "removed", changed: "changed", new: "new", same: "kept" };

function attributeRow({ tag, name, before, after, fate }) {
  return h("tr", { class: fate },
    h("th", { scope: "row" }, name, h("span", { class: "second tag" }, `${tag} · ${FATES[fate]}`)),
    h("td", { class: "before" }, told(before ?? "")),
    h("td", { class: "after" }, told(after ?? "")));
}

/** Lay the attributes of two instances side by side, sequences item by item. */
export function compare(old, now, path = "") {
  const tags = [...new Set([...Object.keys(old), ...Object.keys(now)])].sort();
  return tags.flatMap((tag) => {
    const [before, after] = [old[tag], now[tag]];
    const name = path + (before ?? after).Name;
    if ((before ?? after).Type === "Sequence") {
      const items = Math.max(before?.Value.length ?? 0, after?.Value.length ?? 0);
      if (items) {
        return Array.from({ length: items }, (_, index) =>
          compare(before?.Value[index] ?? {}, after?.Value[index] ?? {}, `${name} ${index + 1} › `)).flat();
      }
    }
    const texts = [before, after].map((one) => one && text(one));
    const fate = !after ? "gone" : !before ? "new" : texts[0] === texts[1] ? "same" : "changed";
    return [{ tag, name, before: texts[0], after: texts[1], fate }];
  });
}

function text({ Type: type, Value: value }) {
  if (type === "Null" || value === null) return "(not shown)";
  if (type === "TooLong") return "(long)";
  if (type === "Sequence") return "(empty)";
  return value === "" ? "(empty)" : value;
}
