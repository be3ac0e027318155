# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes and what stays of an instance: nothing of the one may be found in the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from orthanc_deid.elements import Element
from orthanc_deid.errors import Quarantine, Spot
from orthanc_deid.leaks import describe_leak, holds_term, tag_label, terms_of
from orthanc_deid.places import Effects, Treated
from orthanc_deid.text_encoding import DEFAULT

_LONG: Final = 6  # letters
_WINDOW: Final = 1 << 24  # bytes that are searched at a time
_OVERLAP: Final = 256
_HIDDEN: Final = "leak 7FE0,0010"


@lru_cache(maxsize=1024)
def _union(sets: frozenset[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)


def terms_in(data: bytes, element: Element, charset: bytes) -> Iterator[frozenset[str]]:
    """Yield the identifiers in a value that goes, of a sequence those in all its items."""
    entry = element.entry
    if element.items is None:
        terms = terms_of(entry.tag, entry.vr, data[element.value : element.stop], charset)
        if terms:
            yield terms
        return
    for item in element.items:
        for inner in item.elements:
            yield from terms_in(data, inner, charset)


def check(
    parts: Iterable[Treated],
    effects: Effects,
    identifiers: frozenset[str],
    accepted: frozenset[str] = frozenset(),
    hidden: Iterable[bytes] = (),
) -> None:
    """Look for identifiers in everything that stays of an instance.

    Args:
        parts: what became of its elements.
        effects: what became of all of them together.
        identifiers: terms that must not be found, besides those that the instance itself told.
        accepted: findings that a person has looked at and accepted in this instance.
        hidden: bytes of its pixel data that are no pixels.

    Raises:
        Quarantine: (code `leak`) one was found; its findings are all of them.
    """
    terms = _union(frozenset({*effects.gone, identifiers}))
    paths = [
        path
        for part in parts
        if part.effects.kept and part.clean_of is not terms
        for path in _leaks(part, terms)
    ]
    # A UID that became another one leads back to the original where a text still tells it.
    paths += [path for path, uid in effects.texts_with_uid if effects.uids.get(uid, uid) != uid]
    leaks = {f"leak {path}": path for path in paths}
    for finding, path in leaks.items():
        if finding not in accepted:
            raise Quarantine("leak", describe_leak(path), leaks).at(map(Spot, leaks.values()))
    if any(holds_term("UN", text, DEFAULT, terms) for text in hidden) and _HIDDEN not in accepted:
        raise Quarantine(
            "leak",
            "a comment inside Pixel Data (7FE0,0010), or bytes behind its last pixel, hold an "
            "identifier of the patient; have the image compressed anew at its source",
            {_HIDDEN},
        )


def check_bytes(output: bytes, effects: Effects, identifiers: frozenset[str]) -> None:
    """Look for long names in bytes, whatever they are said to be: numbers, tables, waveforms.

    Args:
        output: what goes out, without pixel data.
        effects: what became of all elements together.
        identifiers: terms that must not be found.

    Raises:
        Quarantine: (code `leak`) one was found.
    """
    words = _long_words(_union(frozenset({*effects.gone, identifiers})))
    for start in range(0, len(output), _WINDOW):
        window = output[start : start + _WINDOW + _OVERLAP].lower()
        if any(_holds_word(window, word) for word in words):
            raise Quarantine(
                "leak",
                "bytes of an attribute that holds no text hold a name of the patient or of a "
                "person named in the study; take the instance out of the study, or have it "
                "corrected at its source",
            )


def _holds_word(window: bytes, word: bytes) -> bool:
    """Tell whether the word stands there, and not as a part of a longer one."""
    at = window.find(word)
    while at >= 0:
        around = window[max(0, at - 1) : at] + window[at + len(word) : at + len(word) + 1]
        if not any(chr(byte).isalpha() for byte in around):
            return True
        at = window.find(word, at + 1)
    return False


@lru_cache(maxsize=64)
def _long_words(terms: frozenset[str]) -> tuple[bytes, ...]:
    """Return the names that are too long to turn up by chance."""
    long = (term for term in terms if len(term) >= _LONG and term.isascii() and term.isalpha())
    return tuple(term.encode() for term in long)


def _leaks(part: Treated, terms: frozenset[str]) -> list[str]:
    paths = [
        kept.parent + tag_label(kept.tag)
        for kept in part.effects.kept
        if holds_term(kept.vr, kept.value, kept.charset, terms)
    ]
    if not paths:
        part.clean_of = terms
    return paths
