# SPDX-License-Identifier: GPL-3.0-or-later
"""The words that text cleaning keeps, and how sure it is of each.

They come from `tables/vocabulary.txt`, what tells a name from a term from `name_contexts.txt`.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache, lru_cache
from importlib import resources

from orthanc_deid.text_tokens import camel_parts, is_unspaced

# Inflections of a known word are known: "fractured", "biopsies".
_INFLECTIONS = (
    ("ies", "y"),
    ("es", ""),
    ("s", ""),
    ("ed", ""),
    ("ed", "e"),
    ("ing", ""),
    ("ly", ""),
)


class Level(IntEnum):
    """How sure it is that a word is no name.

    A TERM (anatomy, laterality, acquisition) stays even where it is also somebody's name, a WORD
    only where it is nobody's in this study, and what is UNKNOWN goes.
    """

    UNKNOWN = 0
    WORD = 1
    TERM = 2


class Vocabulary:
    """Word lists by section and the fixed phrases, as read from the table's lines."""

    def __init__(self, lines: list[str]) -> None:
        sections: dict[str, list[str]] = {}
        section: list[str] = []
        for line in lines:
            if line.startswith("["):
                section = sections.setdefault(line.strip("[]"), [])
            elif line and not line.startswith("#"):
                section.append(line)
        words = {
            name: frozenset(" ".join(part).split())
            for name, part in sections.items()
            if name != "phrase"
        }
        self.terms, self.words = words["term"], words["word"]
        self.eponyms, self.eponym_nouns = words["eponym"], words["noun"]
        self.given_names, self.surnames = words["given"], words["surname"]
        self.titles, self.degrees = words["title"], words["degree"]
        self.roles, self.maybe_roles, self.deeds = words["role"], words["maybe"], words["deed"]
        self._endings = tuple(words["ending"])
        self.phrases: dict[str, list[tuple[str, ...]]] = {}
        for line in sections["phrase"]:
            phrase = tuple(line.split())
            self.phrases.setdefault(phrase[0], []).append(phrase)
        self._unspaced = frozenset(w for w in self.terms | self.words if is_unspaced(w))
        self._longest_unspaced = max(map(len, self._unspaced))
        self.level = lru_cache(maxsize=65536)(self._level)

    def _level(self, norm: str) -> Level:
        """Return how sure the word with this normal form is."""
        if norm in self.terms:
            return Level.TERM
        if norm in self.words or self._is_inflected(norm) or self._is_medical_compound(norm):
            return Level.WORD
        return Level.UNKNOWN

    def spelled_level(self, spelled: str, norm: str) -> Level:
        """Return the level of a word as written: "ImagePosition" is as sure as its parts."""
        level = self.level(norm)
        if level or not spelled.isascii() or spelled.isupper() or spelled.islower():
            return level
        parts = camel_parts(spelled)
        if len(parts) < 2 or max(map(len, parts)) < 3:
            return level
        return Level.WORD if all(len(p) == 1 or self.level(p) for p in parts) else level

    def _is_inflected(self, norm: str) -> bool:
        if len(norm) < 5 or norm in self.surnames or norm in self.given_names:
            return False
        return any(
            norm.endswith(ending)
            and len(norm) - len(ending) >= 4
            and (stem := norm[: -len(ending)] + instead) not in self.surnames
            and (stem in self.words or stem in self.terms)
            for ending, instead in _INFLECTIONS
        )

    def _is_medical_compound(self, norm: str) -> bool:
        """Tell words made of a medical ending ("sialadenitis") or of two terms ("headneck")."""
        if norm in self.surnames or norm in self.given_names or norm in self.eponyms:
            return False
        if any(norm.endswith(e) and len(norm) >= max(8, len(e) + 3) for e in self._endings):
            return True
        return len(norm) <= 24 and any(
            norm[:at] in self.terms and norm[at:] in self.terms for at in range(4, len(norm) - 3)
        )

    def is_surname(self, norm: str) -> bool:
        """Tell whether the word is also a frequent surname or an eponym."""
        return norm in self.surnames or norm in self.eponyms

    def unspaced_terms(self, norm: str) -> list[tuple[int, int]]:
        """Return where known terms stand in a run of Han or kana, the longest first.

        A term of one character counts only where the whole run is made of terms: within an
        unknown run it is as likely a part of a name.
        """
        found, at = [], 0
        while at < len(norm):
            for length in range(min(self._longest_unspaced, len(norm) - at), 0, -1):
                if norm[at : at + length] in self._unspaced:
                    found.append((at, at + length))
                    at += length
                    break
            else:
                at += 1
        if sum(end - start for start, end in found) == len(norm):
            return found
        return [(start, end) for start, end in found if end - start > 1]


@cache
def vocabulary() -> Vocabulary:
    """Read the package's tables once."""
    tables = resources.files("orthanc_deid") / "tables"
    names = ("vocabulary.txt", "name_contexts.txt")
    return Vocabulary(
        [line for n in names for line in (tables / n).read_text(encoding="utf-8").splitlines()]
    )
