# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions on what a study says of itself, such as `{StudyDescription: [screen, scrn]}`.

A condition holds where each attribute that it names has one of its words in it, in capitals or
not. Of a list of conditions one must hold, for one instance of the study. In a sequence, any text
of its items counts, such as the meaning of a procedure code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom import DataElement, dcmread
from pydicom.datadict import tag_for_keyword

from orthanc_deid.dictionary import nearest_keyword
from orthanc_deid.errors import Quarantine

REMOTE_AET: Final = "RemoteAET"
"""The application entity title that sent the study; Orthanc's metadata, not an attribute."""

Sample = Mapping[str, str]
"""What one instance says: keyword to text."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions of which one must hold; if there are none, nothing is asked.

    Attributes:
        any_of: conditions, each a mapping of keyword to words in lower case.
    """

    any_of: tuple[Mapping[str, tuple[str, ...]], ...] = ()

    def hold(self, samples: Iterable[Sample]) -> bool:
        """Tell whether one of them holds for one of the samples of a study."""
        if not self.any_of:
            return True
        return any(_holds(condition, sample) for sample in samples for condition in self.any_of)

    @property
    def keywords(self) -> frozenset[str]:
        """The attributes that are asked for."""
        return frozenset().union(*self.any_of)


def _holds(condition: Mapping[str, tuple[str, ...]], sample: Sample) -> bool:
    return all(
        any(word in sample.get(keyword, "").lower() for word in words)
        for keyword, words in condition.items()
    )


def parse_conditions(given: object, also: Sequence[str] = ()) -> tuple[Conditions, list[str]]:
    """Read conditions as people write them; returns them and what is wrong with them.

    Args:
        given: a list of mappings, keyword to a word or to a list of words.
        also: names that may be asked for besides the keywords of DICOM.
    """
    if not isinstance(given, list) or not all(isinstance(item, Mapping) for item in given):
        return Conditions(), ["must be a list of conditions, each {keyword: [word, ...]}"]
    problems: list[str] = []
    conditions = []
    for condition in given:
        words = {
            str(keyword): _words(str(keyword), value, also, problems)
            for keyword, value in condition.items()
        }
        if not words:
            problems.append("has an empty condition, which always holds; take it out")
        conditions.append(words)
    return Conditions(tuple(conditions)), problems


def _words(
    keyword: str, value: object, also: Sequence[str], problems: list[str]
) -> tuple[str, ...]:
    if tag_for_keyword(keyword) is None and keyword not in also:
        problems.append(f"{keyword!r} is no keyword of DICOM{nearest_keyword(keyword)}")
    words = value if isinstance(value, list) else [value]
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        problems.append(f"{keyword} must be a word or a list of words, not {value!r}")
        return ()
    return tuple(str(word).lower() for word in words)


def read_sample(data: bytes, keywords: Iterable[str]) -> Sample:
    """Return what an instance says in some attributes of its top level.

    Raises:
        Quarantine: (code `unreadable`) it cannot be read.
    """
    tags = [tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None]
    try:
        dataset = dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=tags, force=True)
        return {element.keyword: _text(element) for element in dataset if element.tag in tags}
    except Exception:  # pydicom raises what it likes on what it cannot read
        raise Quarantine(
            "unreadable",
            "an instance cannot be read for certain; get the file again from its source",
        ) from None


def _text(element: DataElement) -> str:
    if element.VR == "SQ":
        return " ".join(_text(inner) for item in element.value for inner in item)
    return "" if element.value is None else str(element.value)
