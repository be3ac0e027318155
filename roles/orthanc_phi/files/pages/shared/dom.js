// SPDX-License-Identifier: GPL-3.0-or-later
// Elements made by code. Text is always text: no value of a study is ever read as HTML.

/** Make an element. Attributes that are false, null or undefined are left out; `on…` are listeners. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replace all that is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Text that a study brought: kept apart, whichever way it is written. */
export const told = (text) => h("bdi", {}, text);

/** Run `action` once nothing was typed for a moment. */
export function calmly(action, milliseconds = 300) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), milliseconds);
  };
}

/** Say something to people with a screen reader, without moving what they look at. */
export function announce(text) {
  let region = document.getElementById("announcer");
  if (!region) {
    region = h("div", { id: "announcer", class: "unseen", role: "status", "aria-live": "polite" });
    document.body.append(region);
  }
  region.textContent = text;
}

/** Show a message at an element: what happened and what to do. `kind` is good, bad or info. */
export function notice(element, kind, ...content) {
  fill(element, h("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, ...content));
}
