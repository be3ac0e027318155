// SPDX-License-Identifier: GPL-3.0-or-later
// Plots in the colours of the site, drawn again when these or the width change.
import uPlot from "../lib/uplot.mjs";
import { fill, h } from "../shared/dom.js";

const HUES = ["--accent", "--busy", "--good", "--bad", "--soft"];
const HEIGHT = 210;
const plots = new Map();

const colour = (name) => {
  // A canvas needs the colour itself, which light-dark() only tells of an element.
  const probe = h("span", { class: "unseen" });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};

const faint = (rgb, part) => rgb.replace(/^rgb\((.*)\)$/, `rgba($1, ${part})`);

/** All days from the first to the last of some, as YYYY-MM-DD. */
export function days(some) {
  if (!some.length) return [];
  const sorted = [...some].sort();
  const all = [];
  for (const at = new Date(`${sorted[0]}T00:00Z`); ; at.setUTCDate(at.getUTCDate() + 1)) {
    const day = at.toISOString().slice(0, 10);
    all.push(day);
    if (day >= sorted.at(-1)) return all;
  }
}

const seconds = (moments) => moments.map((text) => new Date(text.length === 10 ? `${text}T12:00Z` : text) / 1000);

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Days as `25 Nov`, hours as `14:00` with the day where it is another one. */
function stamps(dates, hours) {
  let before = "";
  return dates.map((at) => {
    const day = `${at.getDate()} ${MONTHS[at.getMonth()]}`;
    const other = day !== before;
    before = day;
    if (!hours) return day;
    const time = `${String(at.getHours()).padStart(2, "0")}:00`;
    return other ? `${time}\n${day}` : time;
  });
}

function axes(ink, line, toDate, hours) {
  const common = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
  const number = (value) => (value === null ? "" : value.toLocaleString("en-US", { notation: "compact" }));
  return [
    {
      ...common, grid: { show: false }, space: 64, size: hours ? 46 : 32,
      values: (_plot, all) => stamps(all.map(toDate), hours),
      incrs: hours ? [3, 6, 12, 24].map((each) => each * 3600) : [1, 2, 5, 7, 14].map((each) => each * 86400),
    },
    { ...common, size: 46, values: (_plot, all) => all.map(number) },
  ];
}

function draw(id, { x, series, kind, zone }) {
  const place = document.getElementById(id);
  plots.get(id)?.plot?.destroy();
  if (!x.length) {
    fill(place, h("p", { class: "soft empty" }, "Nothing was delivered in this time."));
    fill(document.getElementById(`${id}-legend`));
    plots.set(id, { told: { x, series, kind, zone } });
    return;
  }
  fill(place);
  const ink = colour("--soft");
  const line = colour("--line");
  const inks = series.map((_one, at) => colour(HUES[at % HUES.length]));
  const data = [seconds(x), ...(kind === "bars" ? stacked(series) : series.map((one) => one.values))];
  const toDate = (stamp) => uPlot.tzDate(new Date(stamp * 1000), zone ?? "UTC");
  const [first, last] = [data[0][0], data[0].at(-1)];
  const margin = kind === "bars" ? 43200 : first === last ? 21600 : 0;
  const options = {
    width: Math.max(place.clientWidth, 240),
    height: HEIGHT,
    tzDate: toDate,
    padding: [12, 24, 0, 0],
    scales: { x: { range: () => [first - margin, last + margin] }, y: { range: (_plot, _low, high) => [0, Math.max(high * 1.08, 4)] } },
    axes: axes(ink, line, toDate, Boolean(zone)),
    legend: { show: false },
    cursor: { points: { size: 7 }, drag: { setScale: false, x: false, y: false } },
    series: [{}, ...series.map((one, at) => ({
      label: one.name,
      stroke: inks[at],
      fill: kind === "bars" ? inks[at] : one.filled ? faint(inks[at], 0.14) : undefined,
      width: kind === "bars" ? 0 : 2,
      paths: kind === "bars" ? uPlot.paths.bars({ size: [0.7, 28], radius: 0.15 }) : uPlot.paths.spline(),
      points: { show: kind !== "bars" && x.length < 3, size: 6 },
      spanGaps: true,
    }))],
    // The last series is the highest: it is drawn first, and the others before it.
  };
  if (kind === "bars") {
    data.splice(1, data.length - 1, ...data.slice(1).reverse());
    options.series.splice(1, options.series.length - 1, ...options.series.slice(1).reverse());
  }
  const plot = new uPlot(options, data, place);
  plot.root.setAttribute("role", "img");
  plot.root.setAttribute("aria-label", words(x, series));
  fill(document.getElementById(`${id}-legend`), series.map((one, at) => {
    const mark = h("i", { "aria-hidden": "true" });
    mark.style.background = inks[at];
    return h("span", {}, mark, one.name);
  }));
  plots.set(id, { plot, told: { x, series, kind, zone } });
}

/** The same for those who do not see it. */
const words = (x, series) =>
  series.map((one) => `${one.name}: ${one.values.map((value, at) => `${x[at].slice(0, 16)} ${value === null ? "none" : Math.round(value)}`).slice(-7).join(", ")}`).join("; ");

function stacked(series) {
  const sums = [];
  for (const one of series) {
    const below = sums.at(-1);
    sums.push(one.values.map((value, at) => value + (below?.[at] ?? 0)));
  }
  return sums;
}

/** Draw bars, several of a day on each other. */
export const bars = (id, x, series) => draw(id, { x, series, kind: "bars" });

/** Draw lines over time; `zone` names the hours. */
export const lines = (id, x, series, { zone } = {}) => draw(id, { x, series, kind: "lines", zone });

/** Draw all again when the colours or the width change. */
export function watchColours() {
  const again = () => {
    for (const [id, { told }] of [...plots]) draw(id, told);
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  let timer;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(again, 150);
  });
}
