# SPDX-License-Identifier: GPL-3.0-or-later
"""What a profile does about the pixels of an instance: pass, blank, look again, or refuse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Final

from orthanc_deid.elements import Element, Syntax
from orthanc_deid.errors import ProfileError, Quarantine
from orthanc_deid.ocr import TEXT_IN_PIXELS, TextReader
from orthanc_deid.pixel_comments import PIXEL_DATA, SIZES
from orthanc_deid.pixel_decision import (
    REGION_CORNERS,
    REGION_SEQUENCE,
    Blank,
    PixelDecision,
    decide,
    needed_tags,
    region,
)
from orthanc_deid.pixels import blank
from orthanc_deid.rectangles import Rectangle
from orthanc_deid.report import Record
from orthanc_deid.rules import Profile
from orthanc_deid.text_encoding import DEFAULT, decode

_PIXELS: Final = frozenset({PIXEL_DATA, 0x7FE00008, 0x7FE00009})  # also Float and Double Float
_SIZES: Final = {"US": 2, "UL": 4}
_DECISIONS: Final = 4096

_Regions = tuple[Rectangle | None, ...]


class PixelCleaner:
    """Decides about the pixels of instances by one profile, and cleans them.

    Attributes:
        tags: the attributes that a decision reads, at the top level or in Sequence of Ultrasound
            Regions (0018,6011).
    """

    def __init__(self, profile: Profile) -> None:
        self._rules = profile.pixel_rules
        self._blanks = "clean_pixel_data" in profile.options
        self._second_look = profile.second_look
        self._read_tags = needed_tags(profile.pixel_rules) - _PIXELS
        self.tags = self._read_tags.union(_PIXELS, REGION_CORNERS, SIZES)
        # The images of a series are alike in all that a decision reads.
        self._decide = lru_cache(_DECISIONS)(self._decide_about)

    def decide(
        self,
        data: bytes,
        top: Mapping[int, Element],
        syntax: Syntax,
        accepted: frozenset[str] = frozenset(),
    ) -> PixelDecision | None:
        """Decide about the pixels of an instance; None if it has none.

        Args:
            data: the bytes that hold its data set.
            top: the elements of its top level, `tags` among them.
            syntax: how they are encoded.
            accepted: findings that a person has looked at and accepted in this instance.

        Raises:
            Quarantine: a person must look at the image; the code names the kind of risk.
        """
        if _PIXELS.isdisjoint(top):
            return None
        values = {
            tag: _text(data, found, syntax)
            for tag in self._read_tags
            if (found := top.get(tag)) is not None
        }
        sequence = top.get(REGION_SEQUENCE)
        regions = () if sequence is None else tuple(_regions(data, sequence))
        return self._decide(frozenset(values.items()), regions, accepted)

    def _decide_about(
        self, values: frozenset[tuple[int, str]], regions: _Regions, accepted: frozenset[str]
    ) -> PixelDecision:
        decision = decide(dict(values), regions, self._rules, accepted)
        if isinstance(decision, Blank) and not self._blanks:
            raise Quarantine(
                "not-cleaned",
                f"parts of its pixels must be blanked ({decision.rule}), which the profile does "
                "not do; add clean_pixel_data to its options, or look at the image and add a "
                "pixel rule that passes it",
            )
        return decision

    def clean(
        self,
        data: bytes,
        decision: PixelDecision,
        modality: str,
        record: Record,
        accepted: frozenset[str] = frozenset(),
    ) -> bytes:
        """Return an instance with its pixels cleaned; the same bytes where nothing is blanked.

        Args:
            data: a complete DICOM file.
            decision: what `decide` said of it.
            modality: its Modality (0008,0060), which may ask for a second look.
            record: where what is done is noted.
            accepted: findings that a person has looked at and accepted in this instance.

        Raises:
            Quarantine: the pixels cannot be blanked, or the second look found text.
        """
        if isinstance(decision, Blank):
            blanked = blank(data, decision.rectangles, decision.overlay_bits)
            if not blanked.frames:
                raise Quarantine(
                    "pixels",
                    f"nothing could be blanked where {decision.rule} says so; "
                    "look at the image and correct the rule",
                )
            record.blanked[decision.rule] += blanked.frames
            data = blanked.data
        asked = {modality, "all", *(("blanked",) if isinstance(decision, Blank) else ())}
        if not self._second_look.isdisjoint(asked) and TEXT_IN_PIXELS not in accepted:
            self._reader.check(data)
            record.looked_at += 1
        return data

    @cached_property
    def _reader(self) -> TextReader:
        try:
            return TextReader()
        except ProfileError as error:
            raise Quarantine("ocr", str(error)) from error


def _regions(data: bytes, sequence: Element) -> Iterable[Rectangle | None]:
    for item in sequence.items or ():
        corners: dict[int, int] = {}
        for element in item.elements:
            text = _text(data, element, sequence.syntax)
            if element.entry.tag in REGION_CORNERS and text.isdecimal():
                corners[element.entry.tag] = int(text)
        yield region(corners)


def _text(data: bytes, element: Element, syntax: Syntax) -> str:
    value = data[element.value : element.stop]
    size = _SIZES.get(element.entry.vr)
    if size is None:
        return decode(value, DEFAULT).strip(" \0")
    number = (syntax.u16 if element.entry.vr == "US" else syntax.u32).unpack_from
    return "\\".join(str(number(value, at)[0]) for at in range(0, len(value) - size + 1, size))
