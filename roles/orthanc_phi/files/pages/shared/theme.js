// SPDX-License-Identifier: GPL-3.0-or-later
// Light or dark, as the person chose or the system says. Runs before the page is drawn.
(() => {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
})();
