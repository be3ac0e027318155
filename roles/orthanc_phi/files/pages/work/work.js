// SPDX-License-Identifier: GPL-3.0-or-later
// How the service stands and how it went: the look in the morning.
import { follow, get, root } from "../shared/api.js";
import { fill, h, notice } from "../shared/dom.js";
import { start } from "../shared/layout.js";
import { count, duration, moment } from "../shared/words.js";
import { needs } from "./needs.js";
import { bars, days, lines, watchColours } from "./plots.js";

const me = await start();
const at = (id) => document.getElementById(id);
const review = new URL("extra/review/quarantine.html", root).href;

function figure(title, value, look, text, href) {
  const inside = [h("strong", {}, value), h("span", {}, title), h("small", {}, text)];
  return h("li", { class: `figure ${look}` }, href ? h("a", { href }, inside) : h("div", {}, inside));
}

function figures({ studies, queue }) {
  const held = studies.quarantined + (studies.review ?? 0);
  const oldest = queue.oldest_seconds === null ? "nothing waits" : `nothing happened to one for ${duration(queue.oldest_seconds)}`;
  const number = (value) => value.toLocaleString("en-US");
  return [
    figure("under way", number(queue.length), queue.length ? "busy" : "quiet", oldest),
    figure("being worked on", number(queue.running), "quiet", "anonymized or delivered just now"),
    figure("tried again", number(queue.tried_again), queue.tried_again ? "busy" : "quiet", "something failed, and is repeated"),
    figure("wait for a person", number(held), held ? "bad" : "quiet", "held back until somebody has looked",
      held && me.may.includes("review") ? review : undefined),
    figure("delivered", number(studies.delivered), "good", "all destinations have all of them"),
  ];
}

function attention(told) {
  const found = needs(told);
  if (!found.length) return h("div", { class: "notice good", role: "status" }, h("strong", {}, "All is well. "), "Nothing needs somebody now.");
  return h("ul", { class: "needs" }, found.map(({ look, what, todo }) =>
    h("li", { class: `notice ${look}` }, h("strong", {}, what), " ", todo)));
}

const empty = (text) => h("p", { class: "soft" }, text);
const table = (head, rows) => h("table", {},
  h("thead", {}, h("tr", {}, head.map((title) => h("th", { scope: "col" }, title)))),
  h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))))));
const badge = (look, text) => h("span", { class: `badge ${look}` }, text);

function gigabytes(bytes) {
  return bytes >= 1e12 ? `${(bytes / 1e12).toFixed(1)} TB` : `${Math.round(bytes / 1e9)} GB`;
}

function state(told) {
  fill(at("at"), `As of ${moment(told.at)}.`);
  fill(at("needs"), attention(told));
  fill(at("figures"), figures(told));
  fill(at("workers"), told.workers.length
    ? table(["Name", "State", "Heard of", "Version"], told.workers.map((one) => [
      one.name,
      one.alive ? badge("good", "alive") : badge("bad", "silent"),
      `${duration(one.seconds_ago)} ago`,
      one.version,
    ]))
    : empty("No worker has told that it is alive."));
  fill(at("disks"), told.disks.map((one) => h("div", { class: "disk" },
    h("div", { class: "row apart" }, h("span", {}, one.name), h("span", { class: "soft" }, `${gigabytes(one.free)} of ${gigabytes(one.total)} free`)),
    h("meter", { min: 0, max: one.total, low: one.total * 0.8, high: one.total * 0.9, optimum: 0, value: one.total - one.free,
      "aria-label": `${one.name}: used`, title: `${Math.round((1 - one.free / one.total) * 100)} % used` }))));
  fill(at("backup"), backup(told.backup));
  fill(at("certificates"), table(["Server", "Good for"], told.certificates.map((one) => [
    one.name, one.days === null ? h("span", { class: "wrong" }, one.problem) : badge(one.days < 21 ? "bad" : "good", count(one.days, "day")),
  ])));
  fill(at("destinations"), told.destinations.length
    ? table(["Destination", "Waiting", "What it last said"], told.destinations.map((one) => [one.destination, count(one.waiting, "study", "studies"), one.error]))
    : empty("No destination is in trouble."));
}

function backup(told) {
  if (!told.known) return empty("No backup has told how it went. It is set up by the playbook.");
  return h("dl", { class: "pairs" },
    h("dt", {}, "Last proven"), h("dd", {}, told.success ? moment(told.success) : "none yet"),
    h("dt", {}, "Last tried"), h("dd", {}, told.attempt ? moment(told.attempt) : "not yet"),
    told.error ? [h("dt", {}, "Problem"), h("dd", { class: "wrong" }, told.error)] : []);
}

function history(told) {
  const destinations = [...new Set(told.days.map((one) => one.destination))].sort();
  const byDay = days(told.days.map((one) => one.day));
  bars("days", byDay, destinations.map((name) => ({
    name,
    values: byDay.map((day) => told.days.find((one) => one.day === day && one.destination === name)?.studies ?? 0),
  })));
  const hours = told.hours.map((one) => one.hour);
  lines("hours", hours, [{ name: "delivered", values: told.hours.map((one) => one.studies), filled: true }], { zone: told.zone });
  const old = days(told.ages.map((one) => one.day));
  const age = (which) => old.map((day) => {
    const found = told.ages.find((one) => one.day === day);
    return found ? found[which] / 60 : null;
  });
  lines("ages", old, [{ name: "half of them, minutes", values: age("median") }, { name: "19 of 20, minutes", values: age("most") }]);
}

let shown = "";
watchColours();
await follow(async () => {
  const told = await get("work");
  state(told);
  const now = JSON.stringify(told.history);
  if (now !== shown) history(told.history);
  shown = now;
  return true;
}, { seconds: 10, away: (error) => (error ? notice(at("message"), "bad", error.message) : fill(at("message"))) })
  .catch((error) => notice(at("message"), "bad", error.message));
