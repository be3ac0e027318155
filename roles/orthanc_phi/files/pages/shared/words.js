// SPDX-License-Identifier: GPL-3.0-or-later
// How dates, times, names and numbers are written: the same on every page, and never ambiguous.

let zone = "UTC";

/** Set the site's time zone, which all moments are shown in. */
export const setZone = (name) => {
  zone = name;
};

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A moment (ISO 8601) as `25 Nov 2026, 14:03 CET`. */
export function moment(iso) {
  if (!iso) return "";
  const parts = Object.fromEntries(
    new Intl.DateTimeFormat("en-US", {
      timeZone: zone, day: "numeric", month: "numeric", year: "numeric",
      hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short",
    }).formatToParts(new Date(iso)).map(({ type, value }) => [type, value]),
  );
  return `${parts.day} ${MONTHS[parts.month - 1]} ${parts.year}, ${parts.hour}:${parts.minute} ${parts.timeZoneName}`;
}

/** A date of DICOM (YYYYMMDD) as `25 Nov 2026`; anything else as it is. */
export function day(text) {
  const found = /^(\d{4})(\d{2})(\d{2})$/.exec(text ?? "");
  if (!found || !MONTHS[found[2] - 1]) return text ?? "";
  return `${Number(found[3])} ${MONTHS[found[2] - 1]} ${found[1]}`;
}

/** A date of an input field (YYYY-MM-DD) as DICOM writes it. */
export const dicomDay = (text) => (text ?? "").replaceAll("-", "");

/** A Person Name of DICOM as people write it: `Yamada, Tarou · 山田, 太郎`. */
export function person(name) {
  return (name ?? "").split("=").map((group) => {
    const [family = "", given = "", middle = "", prefix = "", suffix = ""] = group.split("^");
    const first = [prefix, given, middle].filter(Boolean).join(" ");
    return [[family, suffix].filter(Boolean).join(" "), first].filter(Boolean).join(", ");
  }).filter(Boolean).join(" · ");
}

/** `1 study`, `3 studies`. */
export const count = (number, one, many = `${one}s`) =>
  `${number.toLocaleString("en-US")} ${number === 1 ? one : many}`;

/** How long something takes: `45 s`, `12 min`, `3 h`, `2 days`. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return count(Math.round(seconds / 86400), "day");
}

/** The states of a study in plain words, with the look of their badge. */
export const STATES = {
  received: ["received", "quiet", "PHI has it, and more of it may come"],
  stable: ["complete", "quiet", "PHI has all of it, and nobody asked for it yet"],
  queued: ["waiting", "busy", "its turn will come"],
  working: ["anonymizing", "busy", "a worker takes identities out of it"],
  delivering: ["delivering", "busy", "on its way to the destinations"],
  delivered: ["delivered", "good", "all destinations have all of it"],
  quarantined: ["quarantined", "bad", "held back until a person has looked"],
  review: ["to be seen", "busy", "the result waits for a person who looks at it"],
  rejected: ["rejected", "quiet", "a person decided that it does not go out"],
  withdrawing: ["being taken back", "busy", "taken back from all destinations"],
  withdrawn: ["withdrawn", "quiet", "taken back for good"],
  unknown: ["new", "quiet", "just arrived"],
};
