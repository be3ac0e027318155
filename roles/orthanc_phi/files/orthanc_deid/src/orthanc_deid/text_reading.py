# SPDX-License-Identifier: GPL-3.0-or-later
"""A text under work: its tokens, how sure each word is, and which of them go."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from orthanc_deid.text_tokens import Token
from orthanc_deid.vocabulary import Level, Vocabulary

_SIMPLE_GAP = re.compile(r"[ ,.'\u2019\-_^/=:()*+&]{0,3}")
# A token inside something that was cut by its shape.
PATTERN = "pattern"


@dataclass(slots=True)
class Reading:
    """A text under work: its tokens, how sure each word is, and which ones go as what."""

    text: str
    tokens: list[Token]
    levels: list[Level]
    cut: list[str | None]
    kept: set[int] = field(default_factory=set)
    pieces: list[tuple[int, int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, text: str, tokens: list[Token], words: Vocabulary) -> Reading:
        """Read the words' levels; numbers count as sure until a rule says otherwise."""
        levels = [
            words.spelled_level(text[t.start : t.end], t.norm) if t.is_word else Level.TERM
            for t in tokens
        ]
        return cls(text, tokens, levels, [None] * len(tokens))

    def gap(self, before: int) -> str:
        """Return what stands between this token and the next."""
        return self.text[self.tokens[before].end : self.tokens[before + 1].start]

    def joins(self, before: int) -> bool:
        """Tell whether the next token is near enough to belong to this one."""
        return before + 1 < len(self.tokens) and bool(_SIMPLE_GAP.fullmatch(self.gap(before)))

    def spelled(self, at: int) -> str:
        """Return the token as it is written."""
        return self.text[self.tokens[at].start : self.tokens[at].end]

    def is_capital(self, at: int) -> bool:
        """Tell whether the word begins with a capital while the text is not all capitals."""
        return self.spelled(at)[0].isupper() and not self.text.isupper()

    def is_term(self, first: int, last: int) -> bool:
        """Tell whether these are all words of anatomy or acquisition."""
        span = range(first, last + 1)
        return all(self.levels[at] == Level.TERM and self.tokens[at].is_word for at in span)

    def drop(self, first: int, last: int, kind: str) -> None:
        """Cut the tokens from first to last, both included."""
        for at in range(first, last + 1):
            self.cut[at] = self.cut[at] or kind


def guard_phrases(reading: Reading, words: Vocabulary) -> None:
    """Keep the words of fixed phrases ("plaster of Paris") and eponyms beside their noun.

    In a phrase a WORD is kept though it be a known name ("young adult"); a part that is a word
    of no other kind ("Paris") is kept only where it is nobody's in this study.
    """
    tokens = reading.tokens
    guarded: set[int] = set()
    for at, token in enumerate(tokens):
        for phrase in words.phrases.get(token.norm, ()):
            end = at + len(phrase)
            if tuple(t.norm for t in tokens[at:end]) == phrase:
                guarded.update(range(at, end))
        if reading.levels[at] == Level.UNKNOWN and _is_eponym(reading, at, words):
            reading.levels[at] = Level.WORD
    reading.kept = {at for at in guarded if words.level(tokens[at].norm)}
    for at in guarded - reading.kept:
        reading.levels[at] = Level.WORD


def _is_eponym(reading: Reading, at: int, words: Vocabulary) -> bool:
    norm = reading.tokens[at].norm
    if norm not in words.eponyms and norm.removesuffix("s") not in words.eponyms:
        return False
    return reading.joins(at) and reading.tokens[at + 1].norm in words.eponym_nouns
