# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of attributes: pydicom's dictionary, and Table E.1-1 where that is newer."""

import difflib
import json
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from pydicom.datadict import (
    dictionary_has_tag,
    dictionary_VR,
    keyword_for_tag,
    tag_for_keyword,
)

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),\s?([0-9A-Fa-fxX]{4})\)?")


def load_table(name: str) -> dict[str, Any]:
    """Read one of the package's tables."""
    return dict(json.loads((files("orthanc_deid") / "tables" / name).read_bytes()))


@cache
def profile_table() -> dict[str, Any]:
    """Return Table E.1-1 of PS3.15 and the codes of CID 7050."""
    return load_table("confidentiality_profile.json")


@cache
def _newer() -> dict[int, tuple[str, str]]:
    """Return VR and keyword of the attributes that pydicom does not know yet."""
    return {
        int(tag, 16): (vr or "UN", keyword)
        for tag, (_, keyword, vr, _, _) in profile_table()["rows"].items()
        if keyword and "x" not in tag and not dictionary_has_tag(int(tag, 16))
    }


def dictionary_vr(tag: int) -> str | None:
    """Return the VR of an attribute by the dictionary, or None if it is not in there.

    Where the dictionary leaves a choice, the VR that says least about the value is taken.
    """
    if tag in _newer():
        return _newer()[tag][0]
    if tag >> 16 & 1:
        return None
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return "OB" if tag >> 24 == 0x50 else None
    return "OW" if "OW" in vr else vr.split(" or ")[0]


def keyword_of(tag: int) -> str:
    """Return the keyword of an attribute, or the empty string."""
    return _newer()[tag][1] if tag in _newer() else keyword_for_tag(tag)


def tag_of(name: str) -> int | None:
    """Return the tag of a keyword, or of a tag written `gggg,eeee`."""
    match = _TAG.fullmatch(name)
    if match:
        return int(match[1] + match[2], 16) if "x" not in name.lower() else None
    known = tag_for_keyword(name)
    if known is not None:
        return int(known)
    return next((tag for tag, (_, keyword) in _newer().items() if keyword == name), None)


def nearest_keyword(name: str) -> str:
    """Return the hint `; the nearest is ...` to a keyword that is wrong, or the empty string."""
    return nearest(name, keywords())


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the hint to a word that is none of those known, or the empty string."""
    by_lower = {one.lower(): one for one in known}
    matches = difflib.get_close_matches(word.lower(), by_lower, 1, 0.6)
    return f"; the nearest is {by_lower[matches[0]]}" if matches else ""


@cache
def keywords() -> tuple[str, ...]:
    """Return every keyword there is, to look for the nearest to a wrong one."""
    from pydicom._dicom_dict import DicomDictionary  # noqa: PLC0415 - only for messages

    known = {entry[4] for entry in DicomDictionary.values()}
    return tuple(sorted((known | {keyword for _, keyword in _newer().values()}) - {""}))
