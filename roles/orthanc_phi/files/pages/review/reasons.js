// SPDX-License-Identifier: GPL-3.0-or-later
// Why studies are held back, in a few words for each code; what to do is told by the service itself.

const TITLES = {
  "text-in-pixels": "Text was found in an image",
  "burned-in": "An image says that text is burned in",
  "pixel-rule": "A rule wants a person to look",
  "not-cleaned": "The profile does not blank pixels",
  "pixel-size": "An image does not say its size",
  pixels: "The pixels cannot be blanked",
  ocr: "An image could not be read for text",
  "overlay-bits": "An overlay lies in the image",
  leak: "An identifier was found in what stays",
  "mixed-identity": "The study names two patients",
  "two-subjects": "The patient has two numbers",
  "not-listed": "The patient is in no list yet",
  "no-patient-id": "The Patient ID is missing",
  "no-accession": "The accession number is missing",
  "no-uid": "A UID is missing",
  "no-cohort": "The study fits no cohort",
  "no-number-left": "No subject number is left",
  "study-uid-reused": "Another patient has the same study UID",
  "sop-uid-reused": "Two instances have the same UID",
  "subject-changed": "The patient's number has changed",
  "pseudonym-reused": "The pseudonym belongs to another subject",
  "already-deidentified": "It says it is anonymized already",
  unreadable: "An instance cannot be read",
  unsupported: "An object is of a kind that is not known",
  refused: "A destination refuses it",
  "internal-error": "The program failed",
};

/** What is wrong, in a few words. */
export const title = (code) => TITLES[code] ?? (code ? `Held back: ${code.replaceAll("-", " ")}` : "Waits to be looked at");
