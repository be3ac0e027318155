// SPDX-License-Identifier: GPL-3.0-or-later
// What of the figures needs somebody, and what to do: the worst first.
import { count, duration } from "../shared/words.js";

const CERTIFICATE_DAYS = 21;
const DISK_LEFT = 0.1;
const STUCK_SECONDS = 3600;
const BACKUP_HOURS = 26;

const bad = (what, todo) => ({ look: "bad", what, todo });
const soon = (what, todo) => ({ look: "busy", what, todo });

function workers({ workers: all, queue }) {
  const silent = all.filter((one) => !one.alive).map((one) => one.name);
  if (!all.some((one) => one.alive)) return [bad("No worker is alive.", "Studies wait. Look at the containers of the workers on the PHI host.")];
  if (silent.length) return [soon(`${silent.join(", ")} ${silent.length > 1 ? "are" : "is"} silent.`, "The others go on. Look at its container.")];
  if (queue.oldest_seconds > STUCK_SECONDS) {
    return [soon(`Nothing has happened to a study for ${duration(queue.oldest_seconds)}.`, "Look at the destinations below and at the log of the workers.")];
  }
  return [];
}

function held({ studies }) {
  const number = studies.quarantined + (studies.review ?? 0);
  return number ? [soon(`${count(number, "study waits", "studies wait")} for a person.`, "Look at them on the page Review.")] : [];
}

const disks = ({ disks: all }) => all.filter((one) => one.free < one.total * DISK_LEFT).map((one) =>
  bad(`The ${one.name} is nearly full.`, "Make room, or give it more: nothing can be received or worked on without."));

function backup({ backup: told, at }) {
  if (!told.known) return [];
  if (told.error) return [bad("The last backup failed.", told.error)];
  const hours = (new Date(at) - new Date(told.success)) / 3_600_000;
  return told.success && hours > BACKUP_HOURS
    ? [bad(`The last proven backup is ${duration(hours * 3600)} old.`, "Look at cron and at the log of the backups on the PHI host.")]
    : [];
}

const certificates = ({ certificates: all }) => all.flatMap((one) => {
  if (one.days === null) return [bad(`${one.name} ${one.problem}.`, "Look whether it runs, and at its certificate.")];
  return one.days < CERTIFICATE_DAYS
    ? [soon(`The certificate of ${one.name} ends in ${count(one.days, "day")}.`, "Run the playbook, which renews it.")]
    : [];
});

const destinations = ({ destinations: all }) => all.map((one) =>
  soon(`${count(one.waiting, "study waits", "studies wait")} for ${one.destination}.`, one.error ?? ""));

/** What needs somebody, from the answer of `GET /deid/v1/work`. */
export function needs(told) {
  const all = [workers, disks, backup, certificates, destinations, held].flatMap((part) => part(told));
  return [...all.filter((one) => one.look === "bad"), ...all.filter((one) => one.look !== "bad")];
}
