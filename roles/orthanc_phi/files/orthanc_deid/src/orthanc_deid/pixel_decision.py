# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide what happens to the pixels of an image: pass, blank, or wait for a person.

An image passes unchanged only if its kind is known to come straight from a detector or a
computation, and nothing about it hints at a screen, a capture or a scan. Everything else needs a
rule for its device, or the regions by which ultrasound says where the image is; without either it
is quarantined.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orthanc_deid.errors import Quarantine
from orthanc_deid.pixel_risks import (
    BURNED_IN_ANNOTATION,
    COLUMNS,
    COMMENTS_ON_RADIATION_DOSE,
    CONVERSION_TYPE,
    IMAGE_TYPE,
    MODALITY,
    PHOTOMETRIC_INTERPRETATION,
    ROWS,
    SAMPLES_PER_PIXEL,
    SERIES_DESCRIPTION,
    SOP_CLASS_UID,
    ULTRASOUND,
    find_risk,
)
from orthanc_deid.pixel_rules import PixelRule, PixelRules
from orthanc_deid.pixel_signatures import Values
from orthanc_deid.rectangles import Rectangle, clip_all, outside

BITS_STORED: Final = 0x00280101
HIGH_BIT: Final = 0x00280102
# (60xx,0102) Overlay Bit Position: not 0 where the overlay hides in spare bits of the pixels.
OVERLAY_BIT_POSITIONS: Final = tuple(0x60000102 + (group << 17) for group in range(16))

# (0018,6011) and the corners in its items, both inclusive.
REGION_SEQUENCE: Final = 0x00186011
REGION_CORNERS: Final = (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E)

# Regions that leave less than this part of an image outside do not separate image and text.
_LEAST_OUTSIDE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Clean:
    """The pixels stay as they are, byte for byte.

    Attributes:
        rule: the site's rule that says so; empty where the kind of image does.
    """

    rule: str = ""


@dataclass(frozen=True, slots=True)
class Blank:
    """The pixels change.

    Attributes:
        rule: the rule that says so, for reports.
        rectangles: what is blanked, inside the image; may be empty if only bits are cleared.
        overlay_bits: bits of every pixel that hold an overlay and are cleared.
    """

    rule: str
    rectangles: tuple[Rectangle, ...]
    overlay_bits: tuple[int, ...] = ()


PixelDecision = Clean | Blank


def needed_tags(rules: PixelRules) -> frozenset[int]:
    """Return the attributes that a decision reads, REGION_SEQUENCE apart.

    All stand at the top level or in the file meta information.
    """
    own = {
        BITS_STORED,
        BURNED_IN_ANNOTATION,
        COLUMNS,
        COMMENTS_ON_RADIATION_DOSE,
        CONVERSION_TYPE,
        HIGH_BIT,
        IMAGE_TYPE,
        MODALITY,
        PHOTOMETRIC_INTERPRETATION,
        ROWS,
        SAMPLES_PER_PIXEL,
        SERIES_DESCRIPTION,
        SOP_CLASS_UID,
        *OVERLAY_BIT_POSITIONS,
    }
    return rules.tags | own


def region(corners: Mapping[int, int]) -> Rectangle | None:
    """Return the rectangle of an item of (0018,6011); None if a corner is missing or wrong.

    Args:
        corners: the values of REGION_CORNERS.
    """
    if any(tag not in corners for tag in REGION_CORNERS):
        return None
    left, top, right, bottom = (corners[tag] for tag in REGION_CORNERS)
    if min(left, top) < 0 or right <= left or bottom <= top:
        return None
    return Rectangle(left, top, right - left + 1, bottom - top + 1)


def decide(
    values: Values,
    regions: Sequence[Rectangle | None],
    rules: PixelRules,
    accepted: frozenset[str] = frozenset(),
) -> PixelDecision:
    """Decide about an object that has pixels.

    Args:
        values: the text of `needed_tags`, several values joined by backslashes; absent ones are
            left out.
        regions: each item of (0018,6011), by `region`.
        rules: the site's and the shipped rules.
        accepted: findings that a person has looked at and accepted in this image.

    Raises:
        Quarantine: a person must look; the code names the kind of risk.
    """
    values = {tag: text.strip(" \0") for tag, text in values.items()}
    columns, rows = _number(values, COLUMNS), _number(values, ROWS)
    if not columns or not rows:
        raise Quarantine(
            "pixel-size",
            "the image does not say its Rows (0028,0010) and Columns (0028,0011); "
            "have the object corrected at its source",
        )
    overlay_bits = _overlay_bits(values)
    try:
        name, rectangles = _rectangles(values, regions, rules, columns, rows)
    except Quarantine as held:
        if not held.findings or not held.findings <= accepted:
            raise
        name, rectangles = "released by a person", ()
    if rectangles or overlay_bits:
        return Blank(name or "overlay in the pixels", rectangles, overlay_bits)
    return Clean(name)


def _rectangles(
    values: Values,
    regions: Sequence[Rectangle | None],
    rules: PixelRules,
    columns: int,
    rows: int,
) -> tuple[str, tuple[Rectangle, ...]]:
    """Return what decides, and what it blanks."""
    rule = rules.find(values, columns)
    drawn = rules.find_drawn(values, columns)
    if not drawn:
        return _of_rules(values, regions, rule, columns, rows)
    if rule is None or rule.verdict == "quarantine":
        # A person has looked at such images.
        name, others = "", _around_regions(values, regions, columns, rows)
    else:
        name, others = _of_rules(values, regions, rule, columns, rows)
    names = [one.name for one in (*drawn, *((rule,) if name and rule else ()))]
    blanked = (area for one in drawn for area in _of_rule(one, columns, rows))
    return ", ".join(names), (*blanked, *others)


def _of_rules(
    values: Values,
    regions: Sequence[Rectangle | None],
    rule: PixelRule | None,
    columns: int,
    rows: int,
) -> tuple[str, tuple[Rectangle, ...]]:
    """Return what decides where nobody drew anything, and what it blanks."""
    if rule is not None and rule.verdict == "quarantine":
        raise Quarantine(
            "pixel-rule",
            f"the pixel rule {rule.name} wants a person to look at these images; "
            "look, and add a rule that blanks or passes them",
            {"pixel-rule"},
        )
    if rule is not None and rule.verdict == "clean":
        return rule.name, ()
    around = _around_regions(values, regions, columns, rows)
    if rule is not None:
        blanked = _of_rule(rule, columns, rows)
        # A site's rule is taken at its word; a shipped one does not know this site's text.
        return rule.name, blanked if rule.site else (*blanked, *around)
    if around:
        return "ultrasound regions", around
    if risk := find_risk(values):
        raise Quarantine(
            risk.code,
            f"{risk.reason}, so text may be burned into it, and no pixel rule covers it; "
            "look at the image and add a pixel rule for its device",
            {risk.code},
        )
    return "", ()


def _of_rule(rule: PixelRule, columns: int, rows: int) -> tuple[Rectangle, ...]:
    if rule.verdict == "keep":
        kept = clip_all(rule.rectangles, columns, rows)
        blanked = outside(kept, columns, rows) if kept else ()
    else:
        blanked = clip_all(rule.rectangles, columns, rows)
    if not blanked:
        raise Quarantine(
            "pixel-rule",
            f"the rectangles of the pixel rule {rule.name} do not fit this image; "
            "look at the image and correct the rule or add one for this size",
        )
    return blanked


def _around_regions(
    values: Values, regions: Sequence[Rectangle | None], columns: int, rows: int
) -> tuple[Rectangle, ...]:
    """Return what lies outside the regions of an ultrasound image; empty if they say nothing."""
    if values.get(SOP_CLASS_UID) not in ULTRASOUND or not regions or None in regions:
        return ()
    kept = clip_all((region for region in regions if region), columns, rows)
    around = outside(kept, columns, rows)
    blanked = sum(rectangle.width * rectangle.height for rectangle in around)
    return around if kept and blanked >= _LEAST_OUTSIDE * columns * rows else ()


def _overlay_bits(values: Values) -> tuple[int, ...]:
    bits = sorted({_number(values, tag) for tag in OVERLAY_BIT_POSITIONS} - {0})
    stored, high = _number(values, BITS_STORED), _number(values, HIGH_BIT)
    if any(high - stored < bit <= high for bit in bits):
        raise Quarantine(
            "overlay-bits",
            "an overlay (60xx,0102) claims bits that the image itself uses; "
            "look at the image and have the overlay removed at its source",
        )
    return tuple(bits)


def _number(values: Values, tag: int) -> int:
    text = values.get(tag, "").split("\\")[0]
    return int(text) if text.isdecimal() else 0
