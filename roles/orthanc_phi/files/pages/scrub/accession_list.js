// SPDX-License-Identifier: GPL-3.0-or-later
// Accession numbers in a text that people paste, or in a CSV file that a spreadsheet wrote.

const HEADING = /^accession/i;

/** Return the accession numbers of a text, each once, and how many were written more than once. */
export function accessionsOf(text) {
  const rows = text.replace(/^\uFEFF/, "").split(/\r?\n/).map(cells).filter((row) => row.some(Boolean));
  const column = Math.max(0, (rows[0] ?? []).findIndex((cell) => HEADING.test(cell)));
  const body = (rows[0] ?? []).some((cell) => HEADING.test(cell)) ? rows.slice(1) : rows;
  const written = body.map((row) => (row[column] ?? "").trim()).filter(Boolean);
  const accessions = [...new Set(written)];
  return { accessions, repeated: written.length - accessions.length };
}

function cells(line) {
  const separator = ["\t", ";", ","].find((one) => line.includes(one)) ?? ",";
  const found = [];
  let cell = "";
  let quoted = false;
  for (let at = 0; at < line.length; at += 1) {
    const character = line[at];
    if (character === '"' && quoted && line[at + 1] === '"') {
      cell += '"';
      at += 1;
    } else if (character === '"' && (quoted || cell === "")) quoted = !quoted;
    else if (character === separator && !quoted) {
      found.push(cell);
      cell = "";
    } else cell += character;
  }
  return [...found, cell].map((one) => one.trim());
}
