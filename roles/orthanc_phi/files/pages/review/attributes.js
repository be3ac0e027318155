// SPDX-License-Identifier: GPL-3.0-or-later
// What was found in attributes, each with its value in the original.
import { root } from "../shared/api.js";
import { fill, h, told } from "../shared/dom.js";
import { count } from "../shared/words.js";

const SHOWN = 20;

/** The findings that are in attributes, or nothing. */
export function attributes(findings) {
  const found = new Map();
  for (const one of findings.filter(({ path }) => path)) {
    const same = found.get(one.path) ?? { ...one, instances: 0 };
    same.instances += 1;
    found.set(one.path, same);
  }
  if (!found.size) return null;
  const rows = [...found.values()].slice(0, SHOWN).map((one) => {
    const value = h("td", { class: "value" }, "…");
    original(one).then((text) => fill(value, text === null ? h("span", { class: "soft" }, "cannot be shown") : told(text)));
    return h("tr", {}, h("th", { scope: "row" }, h("span", { class: "code" }, one.path.replaceAll("/", " › "))), value, h("td", {}, count(one.instances, "instance")));
  });
  return h("section", {},
    h("h3", {}, "In these attributes"),
    h("div", { class: "plain-scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Attribute", "What the original says", "In"].map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows))));
}

/** What the original says there; of a sequence, its first item. */
async function original({ instance_id: instance, path }) {
  const way = path.split("/").map((tag) => tag.replace(",", "-").toLowerCase()).join("/0/");
  try {
    const answer = await fetch(new URL(`instances/${instance}/content/${way}`, root), { cache: "no-store" });
    return answer.ok ? (await answer.text()).slice(0, 500) : null;
  } catch {
    return null;
  }
}
