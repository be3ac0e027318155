# SPDX-License-Identifier: GPL-3.0-or-later
"""How text is compared: one normal form, and the tokens that text is made of."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

# Letters that NFKD does not take apart, as they are written without them.
_UNDECOMPOSED = str.maketrans(
    {
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "ł": "l",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        "\u0131": "i",
        "ŧ": "t",
    }
)

# A letter is every character of a word in any script with its marks (which Python's \w leaves
# out): all but ASCII's and the general punctuation, the symbols and the digits.
_UNSPACED = (
    r"\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
LETTER = (
    r"(?:(?!\d)[A-Za-z\xaa\xb5\xba\xc0-\xd6\xd8-\xf6\xf8-\u1fff\u2c00-\u2dff\u3100-\u33ff"
    r"\ua000-\ud7ff\ufb00-\ufe0f\ufe70-\ufefe\uff21-\uff3a\uff41-\uff5a\uffa0-\uffdc"
    r"\U00010000-\U0001ffff])"
)
_TOKEN = re.compile(rf"(?P<word>{LETTER}+(?:['\u2019\u02bc`\u00b4]{LETTER}+)*|[{_UNSPACED}]+)|\d+")
_ASCII_TOKEN = re.compile(r"([A-Za-z]+(?:['`][A-Za-z]+)*)|[0-9]+")
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


class Token(NamedTuple):
    """A run of letters or of digits, with its place in the text and its normal form."""

    start: int
    end: int
    norm: str
    is_word: bool


@lru_cache(maxsize=65536)
def fold(text: str) -> str:
    """Return the normal form: lower case, without accents, apostrophes, widths, ligatures."""
    if text.isascii():
        return text.lower().replace("'", "").replace("`", "")
    decomposed = unicodedata.normalize("NFKD", text).casefold().translate(_UNDECOMPOSED)
    kept = (
        c for c in decomposed if unicodedata.category(c) != "Mn" and c not in "'\u2019\u02bc`\u00b4"
    )
    return "".join(kept)


def tokens_of(text: str) -> list[Token]:
    """Split text into its words and numbers, in linear time."""
    pattern = _ASCII_TOKEN if text.isascii() else _TOKEN
    return [
        Token(m.start(), m.end(), fold(m.group()), m.lastindex is not None)
        for m in pattern.finditer(text)
    ]


def camel_parts(word: str) -> list[str]:
    """Split "ImagePosition" into normal forms of its parts; a word of one part gives itself."""
    return [fold(part) for part in _CAMEL.findall(word)]


def is_unspaced(norm: str) -> bool:
    """Tell whether the word is in a script that writes words without spaces (Han, kana)."""
    return not norm.isascii() and bool(_HAS_UNSPACED.search(norm))
