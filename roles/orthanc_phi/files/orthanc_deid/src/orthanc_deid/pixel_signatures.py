# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of devices: expressions over attributes, in the form of RSNA CTP's pixel scripts.

`Modality.equals("US") * !ImageType.contains("R") * (Rows.equals("480") + [0028,0010].equals("6"))`

`*` is and, `+` is or, `!` is not; `!` binds closest, then `*`. An attribute is a keyword or
`[gggg,eeee]`. Its value is compared as text, several values joined by backslashes, and an absent
attribute is the empty text. Values come without padding.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from pydicom.datadict import keyword_dict, tag_for_keyword

Values = Mapping[int, str]

METHODS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "equals": lambda value, wanted: value == wanted,
    "equalsIgnoreCase": lambda value, wanted: value.casefold() == wanted.casefold(),
    "contains": lambda value, wanted: wanted in value,
    "containsIgnoreCase": lambda value, wanted: wanted.casefold() in value.casefold(),
    "startsWith": lambda value, wanted: value.startswith(wanted),
    "startsWithIgnoreCase": lambda value, wanted: value.casefold().startswith(wanted.casefold()),
    "endsWith": lambda value, wanted: value.endswith(wanted),
    "endsWithIgnoreCase": lambda value, wanted: value.casefold().endswith(wanted.casefold()),
    "matches": lambda value, wanted: re.fullmatch(wanted, value) is not None,
}


class SignatureError(ValueError):
    """A signature that cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One attribute compared with one text."""

    tag: int
    method: str
    wanted: str

    def __call__(self, values: Values) -> bool:
        """Tell whether it holds."""
        return METHODS[self.method](values.get(self.tag, ""), self.wanted)


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where its part does not."""

    part: "Signature"

    def __call__(self, values: Values) -> bool:
        """Tell whether it holds."""
        return not self.part(values)


@dataclass(frozen=True, slots=True)
class All:
    """Holds where every part does."""

    parts: tuple["Signature", ...]

    def __call__(self, values: Values) -> bool:
        """Tell whether it holds."""
        return all(part(values) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Any:
    """Holds where at least one part does."""

    parts: tuple["Signature", ...]

    def __call__(self, values: Values) -> bool:
        """Tell whether it holds."""
        return any(part(values) for part in self.parts)


Signature = Comparison | Not | All | Any


def comparisons(signature: Signature) -> Iterator[Comparison]:
    """Yield every comparison of a signature."""
    match signature:
        case Comparison():
            yield signature
        case Not(part):
            yield from comparisons(part)
        case All(parts) | Any(parts):
            for part in parts:
                yield from comparisons(part)


def demanded(signature: Signature) -> Iterator[Comparison]:
    """Yield the comparisons that hold in every image that the signature matches."""
    match signature:
        case Comparison():
            yield signature
        case All(parts):
            for part in parts:
                yield from demanded(part)


@cache
def _keywords() -> tuple[str, ...]:
    return tuple(keyword_dict)


def nearest(word: str, known: tuple[str, ...]) -> str:
    """Return a hint that names the known word nearest to a wrong one; empty if none is near."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


def find_tag(name: str) -> int:
    """Return the tag of a keyword or of `[gggg,eeee]`.

    Raises:
        SignatureError: neither; the message names the nearest keyword.
    """
    if match := re.fullmatch(r"\[([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\]", name):
        return int(match[1] + match[2], 16)
    tag = tag_for_keyword(name)
    if tag is None:
        raise SignatureError(f"{name} is no DICOM keyword{nearest(name, _keywords())}")
    return tag


def compare(tag: int, method: str, wanted: str) -> Comparison:
    """Make a comparison.

    Raises:
        SignatureError: an unknown method, an empty text, or a pattern that is none.
    """
    if method not in METHODS:
        raise SignatureError(f"{method} is no method{nearest(method, tuple(METHODS))}")
    if not wanted:
        # It would hold for every image, also for those without the attribute.
        raise SignatureError(f"{method} compares with an empty text; name the text")
    if method == "matches":
        try:
            re.compile(wanted)
        except re.error as error:
            raise SignatureError(f"the pattern of {method} cannot be used: {error}") from error
    return Comparison(tag, method, wanted)


_TOKENS: Final = re.compile(
    r"""\s*(?:
        (?P<sign>[*+!()])
        |(?P<name>\[[^\]]*\]|\w+)\s*\.\s*(?P<method>\w+)\s*\(\s*"(?P<text>[^"]*)"\s*\)
    )""",
    re.VERBOSE,
)


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0

    def parse(self) -> Signature:
        signature = self._any()
        if self._next < len(self._tokens):
            raise SignatureError("the signature goes on after its end; join the parts by * or +")
        return signature

    def _peek(self) -> str | Comparison | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _any(self) -> Signature:
        parts = [self._all()]
        while self._peek() == "+":
            self._next += 1
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _all(self) -> Signature:
        parts = [self._one()]
        while self._peek() == "*":
            self._next += 1
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self) -> Signature:
        part = self._peek()
        self._next += 1
        if isinstance(part, Comparison):
            return part
        if part == "!":
            return Not(self._one())
        if part == "(":
            inner = self._any()
            if self._peek() != ")":
                raise SignatureError("a parenthesis is not closed")
            self._next += 1
            return inner
        raise SignatureError('a comparison such as Modality.equals("US") is missing')


def _tokens(text: str) -> Iterator[str | Comparison]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKENS.match(text, position)
        if match is None:
            raise SignatureError(f"the signature cannot be read from character {position + 1} on")
        if match["sign"]:
            yield match["sign"]
        else:
            yield compare(find_tag(match["name"]), match["method"], match["text"])
        position = match.end()


def parse_signature(text: str) -> Signature:
    """Compile a signature.

    Raises:
        SignatureError: the text is no signature; the message says why.
    """
    return _Parser(text).parse()
