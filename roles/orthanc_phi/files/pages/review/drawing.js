// SPDX-License-Identifier: GPL-3.0-or-later
// An image with what was found in it, to draw on: by pointer, or by numbers for those who use none.
import { root } from "../shared/api.js";
import { announce, fill, h } from "../shared/dom.js";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 4; // pixels around what was found

function shape(kind, attributes) {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** The pad for the images of a study; `send` gets what is to be blanked. */
export function drawing(study, instances, send) {
  let instance = instances[0];
  let frame = 1;
  let size = { columns: 0, rows: 0 };
  let rectangles = [];

  const image = h("img", { alt: "The image as it came", draggable: "false" });
  const over = shape("svg", { role: "application", "aria-label": "Draw a rectangle over what is to be blanked", tabindex: "0" });
  const list = h("ol", { class: "rectangles" });
  const hint = h("p", { class: "soft" });
  const status = h("p", { class: "soft" });
  const go = h("button", { type: "button", class: "primary" }, "Blank and anonymize again");
  const take = h("button", { type: "button" }, "Take what was found");
  const note = h("input", { type: "text", maxlength: 1000, placeholder: "optional; no name of a patient" });
  const choice = h("select", { "aria-label": "Image" }, instances.slice(0, 500).map((one, index) =>
    h("option", { value: String(index) }, `Image ${one.number || index + 1}${one.found ? " · something was found" : ""}`)));
  const frameField = h("input", { type: "number", min: 1, value: "1", "aria-label": "Frame" });
  const frames = h("label", { class: "inline", hidden: true }, "Frame", frameField);
  const scope = scopes();

  const findings = () => study.findings.filter((one) => one.instance_id === instance.id && one.box && (one.frame || 1) === frame);

  function load() {
    rectangles = [];
    fill(status, "Loading the image…");
    image.src = new URL(`instances/${instance.id}/frames/${frame - 1}/rendered`, root).href;
    frameField.value = String(frame);
    draw();
  }

  async function meet(index) {
    instance = instances[index];
    frame = Math.max(1, study.findings.find((one) => one.instance_id === instance.id && one.frame)?.frame ?? 1);
    frames.hidden = true;
    load();
    try {
      const answer = await fetch(new URL(`instances/${instance.id}/frames`, root));
      const count = answer.ok ? (await answer.json()).length : 1;
      frames.hidden = count < 2;
      frameField.max = String(count);
    } catch {
      frames.hidden = true;
    }
  }

  image.addEventListener("load", () => {
    size = { columns: image.naturalWidth, rows: image.naturalHeight };
    over.setAttribute("viewBox", `0 0 ${size.columns} ${size.rows}`);
    fill(status, `${size.columns} × ${size.rows} pixels`);
    draw();
  });
  image.addEventListener("error", () => {
    size = { columns: 0, rows: 0 };
    fill(status, "This instance has no image that can be shown.");
    draw();
  });
  choice.addEventListener("change", () => meet(Number(choice.value)));
  frameField.addEventListener("change", () => {
    frame = Math.min(Math.max(1, Number(frameField.value) || 1), Number(frameField.max) || 1);
    load();
  });
  take.addEventListener("click", () => {
    for (const { box: [left, top, width, height] } of findings()) add(left - MARGIN, top - MARGIN, width + 2 * MARGIN, height + 2 * MARGIN);
    announce("What was found is marked");
  });
  go.addEventListener("click", async () => {
    go.disabled = true;
    await send({ instance: instance.id, rectangles, scope: scope.value(), note: note.value.trim() });
    draw();
  });

  let from = null;
  const place = (event) => {
    const box = over.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * size.columns, ((event.clientY - box.top) / box.height) * size.rows];
  };
  over.addEventListener("pointerdown", (event) => {
    if (!size.columns || event.button !== 0) return;
    from = place(event);
    over.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  over.addEventListener("pointermove", (event) => {
    if (from) shapes(between(from, place(event)));
  });
  over.addEventListener("pointerup", (event) => {
    if (!from) return;
    const [left, top, width, height] = between(from, place(event));
    from = null;
    if (width > 2 && height > 2) add(left, top, width, height);
    else draw();
  });
  over.addEventListener("pointercancel", () => {
    from = null;
    draw();
  });

  function add(left, top, width, height) {
    const x = Math.max(0, Math.floor(left));
    const y = Math.max(0, Math.floor(top));
    const right = Math.min(size.columns, Math.ceil(left + width));
    const bottom = Math.min(size.rows, Math.ceil(top + height));
    if (right > x && bottom > y) rectangles.push([x, y, right - x, bottom - y]);
    draw();
  }

  function draw() {
    shapes();
    numbers();
  }

  function shapes(drawn) {
    const box = (kind, [x, y, width, height]) => shape("rect", { class: kind, x, y, width, height });
    over.replaceChildren(
      ...findings().map((one) => box("found", one.box)),
      ...rectangles.map((one) => box("blanked", one)),
      ...(drawn ? [box("blanked", drawn)] : []),
    );
    go.disabled = !rectangles.length;
    take.hidden = !findings().length;
    fill(hint, findings().length
      ? "What was found is marked by a dashed line. Draw over all that tells who the patient is."
      : "Draw over all that tells who the patient is.");
  }

  function numbers() {
    const words = ["left", "top", "width", "height"];
    fill(list, rectangles.map((one, index) => h("li", {},
      words.map((word, part) => h("label", {}, word, h("input", {
        type: "number", min: part < 2 ? 0 : 1, value: String(one[part]),
        onchange: (event) => {
          one[part] = Math.max(part < 2 ? 0 : 1, Math.round(Number(event.target.value) || 0));
          event.target.value = String(one[part]);
          shapes();  // The numbers stay: somebody is writing the next of them.
        },
      }))),
      h("button", { type: "button", class: "icon", title: "Take this rectangle away", "aria-label": `Take rectangle ${index + 1} away`, onclick: () => {
        rectangles.splice(index, 1);
        draw();
      } }, "×"))),
    h("li", {}, h("button", { type: "button", class: "link", onclick: () => add(0, 0, size.columns, Math.ceil(size.rows / 10)) }, "Add a rectangle by numbers")));
  }

  const pad = h("section", { class: "pad" },
    h("h3", {}, "Blank a part of the image"),
    h("div", { class: "row" }, choice, frames, status),
    h("div", { class: "sheet" },
      h("div", { class: "picture" }, image, over),
      h("div", { class: "side" }, hint, take, list, scope.element, h("label", {}, "Note", note), go)));
  meet(0);
  return pad;
}

function between([x1, y1], [x2, y2]) {
  return [Math.min(x1, x2), Math.min(y1, y2), Math.abs(x2 - x1), Math.abs(y2 - y1)];
}

function scopes() {
  const option = (value, text, more, checked) => h("label", { class: "inline" },
    h("input", { type: "radio", name: "scope", value, checked }), h("span", {}, text, h("small", { class: "second" }, more)));
  const element = h("fieldset", { class: "scope" }, h("legend", {}, "For which images"),
    option("study", "This study", "its images of this size", true),
    option("device", "This device, from now on", "all its images of this size, in all studies", false));
  return { element, value: () => element.querySelector("input:checked").value };
}
