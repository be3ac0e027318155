# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the words that text cleaning keeps, and those by which it tells a name.

They are `tables/vocabulary.txt` and `tables/name_contexts.txt` of the package.

The words come from the code meanings (PS3.16, as in pydicom's concept dictionary) and attribute
names (PS3.6) of the standard, and from `vocabulary_additions.txt` beside this file, which holds
what the standard does not spell: scanner jargon, everyday words, fixed phrases, eponyms.

Run it with the package on the path, after a new pydicom or a changed list:

    PYTHONPATH=roles/orthanc_phi/files/orthanc_deid/src python3 files/vocabulary.py
"""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
from pydicom._dicom_dict import DicomDictionary
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

from orthanc_deid.text_tokens import fold

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "roles/orthanc_phi/files/orthanc_deid/src/orthanc_deid"

PLAIN_SECTIONS = (
    *("noun", "given", "surname", "ending", "title", "degree", "role", "maybe", "deed"),
)
ANATOMY_CIDS = (
    *(2, 4, 20, 27, 29, 244, 245, 501, 502, 3010, 3014, 3015, 3604, 3606, 3607, 3827, 4009, 4010),
    *(4011, 4013, 4014, 4015, 4028, 4030, 4031, 4040, 4042, 6115, 6116, 6117, 6300, 7140, 7152),
    *(7153, 7154, 7155, 7156, 7160, 7482, 7483, 7601, 7602, 10044, 12103),
)
PROJECTION_EPONYM_CID = 4012
# Breeds and species carry hundreds of place names and surnames and no radiology.
NOT_MEDICAL = re.compile(r"breed|\(organism\)|cattle|\bdog\b|horse|sheep|\bpig\b|goat|\bcat\b")
# Fetal growth tables and body surface formulas are called after their authors.
AUTHORED = re.compile(r"\b(19|20)\d\d\b|et al|\btable\b|equation|formula|method$", re.IGNORECASE)
WORD = re.compile(r"[^\W\d_]{2,}(?:['\u2019][^\W\d_]+)?")


def meanings() -> Iterator[tuple[str, bool, bool]]:
    """Yield each code meaning with whether it names anatomy, and a projection's eponym."""
    by_scheme: Any = concepts
    for scheme, by_keyword in by_scheme.items():
        for keyword, by_code in by_keyword.items():
            anatomical, eponymic = (
                any(keyword in cid_concepts[cid].get(scheme, ()) for cid in cids)
                for cids in (ANATOMY_CIDS, (PROJECTION_EPONYM_CID,))
            )
            for meaning, _ in by_code.values():
                if not NOT_MEDICAL.search(meaning.lower()):
                    yield meaning, anatomical, eponymic


def from_the_standard() -> dict[str, set[str]]:
    """Sort the standard's words into `term`, `word` and `eponym`."""
    found: dict[str, set[str]] = defaultdict(set)
    for meaning, anatomical, eponymic in meanings():
        for position, match in enumerate(WORD.finditer(meaning)):
            word = match.group()
            named = (eponymic and position == 0) or (AUTHORED.search(meaning) and word.istitle())
            section = "eponym" if named else "term" if anatomical else "word"
            found[section].add(fold(word))
    for _, _, name, *_ in DicomDictionary.values():
        found["word"].update(fold(word) for word in WORD.findall(name))
    found["eponym"] -= found["word"] | found["term"]
    return found


def additions() -> dict[str, list[str]]:
    """Read the lists of `vocabulary_additions.txt` by section, one line an entry."""
    sections: dict[str, list[str]] = {}
    section: list[str] = []
    for raw in (HERE / "vocabulary_additions.txt").read_text(encoding="utf-8").splitlines():
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            section = sections.setdefault(line[1:-1], [])
        elif line and not line.startswith("#"):
            section.append(line)
    return sections


def vocabulary() -> dict[str, list[str]]:
    """Join both sources; a frequent surname is never a term, and only ours may be a word."""
    lists = additions()
    ours = {
        name: {fold(word) for line in lines for word in re.findall(r"[^\W\d_]+", line)}
        for name, lines in lists.items()
    }
    standard = from_the_standard()
    term = (standard["term"] | ours["term"]) - ours["surname"]
    word = ours["word"] | (standard["word"] - ours["surname"] - ours["given"])
    word |= ours["term"] & ours["surname"]
    eponym = (
        ours["eponym"] | standard["eponym"] | (standard["word"] & (ours["surname"] | ours["given"]))
    )
    return {
        "term": sorted(term),
        "word": sorted(word - term),
        "eponym": sorted(eponym - term - word),
        **{name: sorted(ours[name]) for name in PLAIN_SECTIONS},
        "phrase": sorted({" ".join(fold(w) for w in line.split()) for line in lists["phrase"]}),
    }


def written(about: str, sections: dict[str, list[str]]) -> str:
    """Write sections of words in lines, phrases one a line, below what they are."""
    lines = [
        f"# {about}",
        "# Made by files/vocabulary.py from code meanings (PS3.16) and attribute names (PS3.6) in",
        f"# pydicom {pydicom.__version__} and files/vocabulary_additions.txt. Do not edit here.",
    ]
    for section, entries in sections.items():
        lines.append(f"[{section}]")
        if section == "phrase":
            lines += entries
        else:
            lines += textwrap.wrap(" ".join(entries), 100, break_on_hyphens=False)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the tables into the package: what is no name, and what makes a name or unmakes it."""
    sections = vocabulary()
    words = {name: sections.pop(name) for name in ("term", "word")}
    tables = PACKAGE / "tables"
    tables.mkdir(exist_ok=True)
    (tables / "vocabulary.txt").write_text(
        written("Words that text cleaning keeps.", words), encoding="utf-8"
    )
    (tables / "name_contexts.txt").write_text(
        written("Names, and words by which text cleaning tells a name from a term.", sections),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
