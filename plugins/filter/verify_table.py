# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the rows of verify.yml as one table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

DOCUMENTATION = r"""
name: verify_table
short_description: The rows of verify.yml as the lines of one table, what is wrong first
version_added: 1.0.0
author: imaging.orthanc contributors (@imaging-orthanc)
description:
  - What is wrong comes first, each with what to do in a line of its own.
options:
  _input:
    description: The rows, as C(verify_rows) makes them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ orthanc_site_verified | imaging.orthanc.verify_table }}"
"""

RETURN = r"""
_value:
  description: The lines of the table.
  type: list
  elements: str
"""

ORDER = ("wrong", "look", "well")
COLUMNS = ("state", "where", "what", "seen")
LONGEST = {"where": 44, "what": 34}


def verify_table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the lines of the table."""
    ordered = sorted(rows, key=lambda row: ORDER.index(row["state"]))
    cells = [{name: " ".join(row[name].split()) for name in COLUMNS} for row in ordered]
    heads = {"state": "state", "where": "where", "what": "what", "seen": "what was seen"}
    widths = {
        name: min(max(len(row[name]) for row in [heads, *cells]), LONGEST.get(name, 1000))
        for name in COLUMNS
    }
    lines = [_line(heads, widths)]
    for row, cell in zip(ordered, cells, strict=True):
        lines.append(_line(cell, widths))
        if row["remedy"]:
            lines.append(f"{'':{widths['state']}}  -> {row['remedy']}")
    counts = {state: sum(row["state"] == state for row in rows) for state in ORDER}
    lines.append(f"{counts['well']} well, {counts['look']} to look at, {counts['wrong']} wrong.")
    return lines


def _line(cells: Mapping[str, str], widths: Mapping[str, int]) -> str:
    return "  ".join(f"{cells[name]:{widths[name]}}" for name in COLUMNS).rstrip()


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"verify_table": verify_table}
