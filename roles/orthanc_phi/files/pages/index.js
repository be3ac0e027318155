// SPDX-License-Identifier: GPL-3.0-or-later
// The start page: a tile for each page that the account may use, and for each Orthanc.
import { h } from "./shared/dom.js";
import { orthancs, pagesFor, start } from "./shared/layout.js";

const me = await start();
const tile = (title, text, href) =>
  h("li", {}, h("a", { class: "tile", href }, h("strong", {}, title), h("span", {}, text)));

document.getElementById("tiles").append(
  ...pagesFor(me).filter((page) => page.text).map((page) => tile(page.title, page.text, page.href)),
  ...orthancs(me).map((one) => tile(one.title, one.text, one.href)),
);
