# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of images that may hold burned-in text, told from their attributes."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from orthanc_deid.pixel_signatures import Values

IMAGE_TYPE: Final = 0x00080008
SOP_CLASS_UID: Final = 0x00080016
MODALITY: Final = 0x00080060
CONVERSION_TYPE: Final = 0x00080064
SERIES_DESCRIPTION: Final = 0x0008103E
SAMPLES_PER_PIXEL: Final = 0x00280002
PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
BURNED_IN_ANNOTATION: Final = 0x00280301
COMMENTS_ON_RADIATION_DOSE: Final = 0x00400310

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."

ULTRASOUND: Final = frozenset(_STORAGE + end for end in ("3", "3.1", "6", "6.1", "6.2", "6.3"))
# Their pixels come from a detector or a computation, never from a screen, a camera that sees
# labels, or a scanner for paper (PS3.4 Annex B.5). Classes that are not listed are a risk.
_DETECTED: Final = frozenset(
    _STORAGE + end
    for end in (
        "1",  # CR
        "1.1",  # digital X-ray, for presentation and for processing
        "1.1.1",
        "1.2",  # mammography
        "1.2.1",
        "2",  # CT, enhanced, converted
        "2.1",
        "2.2",
        "4",  # MR, enhanced, converted
        "4.1",
        "4.4",
        "13.1.1",  # X-ray 3D angiographic and craniofacial
        "13.1.2",
        "13.1.3",  # breast tomosynthesis and projections
        "13.1.4",
        "13.1.5",
        "20",  # NM
        "30",  # parametric map
        "66.4",  # segmentation, label map
        "66.7",
        "77.1.5.4",  # ophthalmic tomography, en face, B-scan volume
        "77.1.5.7",
        "77.1.5.8",
        "77.1.6",  # whole slide
        "128",  # PET, converted, enhanced
        "128.1",
        "130",
        "481.1",  # RT image and dose
        "481.2",
    )
)
# Modalities that are drawn, filmed, photographed or printed, whatever the SOP class.
# fmt: off
_RISKY_MODALITIES: Final = frozenset(
    (
        "BDUS", "BMD", "CF", "CS", "DD", "DF", "DG", "DM", "DOC", "DS", "EC", "ES", "FA", "FS",
        "GM", "HC", "IO", "IVOCT", "IVUS", "KER", "LEN", "LP", "LS", "OAM", "OP", "OPM", "OPR",
        "OPV", "OT", "RF", "SC", "SMR", "SRF", "US", "VA", "VF", "VL", "XA", "XC",
    )
)
# fmt: on
# Where colour is no property of what is measured: fused, rendered or captured.
_GREY_MODALITIES: Final = frozenset(("CR", "CT", "DX", "MG", "MR", "PT"))

_SCREEN_TYPE: Final = re.compile(
    r"SCREEN|CAPTURE|SNAPSHOT|HARDCOPY|PRINT|REPORT|VXTL|VOLREN|RENDERED"
    r"|\b(?:SAVE|PASTED?|FILM|PHOTO|GRAPH|CURVE|TABLE|SUMMARY|DOSE|PROT|PROTOCOL)(?:\b|_)"
)
_SCREEN_SERIES: Final = re.compile(
    r"\bdose[ _-]*(?:report|info|summary|record|sheet|page)|exposure[ _-]*(?:record|summary)"
    r"|(?:patient|exam)[ _-]*protocol|protocol[ _-]*page|nomination form"
    r"|screen[ _-]*(?:save|shot|capture)|secondary[ _-]*capture|\bscanned\b",
    re.IGNORECASE,
)
_FUSED: Final = re.compile(r"\bFUS(?:ED|ION)", re.IGNORECASE)
_SLIDE_LABEL: Final = frozenset(("LABEL", "OVERVIEW"))


class Risk(NamedTuple):
    """Why an image may hold burned-in text.

    Attributes:
        code: the word for machines.
        reason: the beginning of a sentence about the image.
        holds: tells whether an image is of this kind.
    """

    code: str
    reason: str
    holds: Callable[[Values], bool]


def find_risk(values: Values) -> Risk | None:
    """Return the first kind of risk that an image belongs to; None if it is of no risky kind.

    Args:
        values: the text of attributes, without padding.
    """
    return next((risk for risk in RISKS if risk.holds(values)), None)


def _text(values: Values, tag: int) -> str:
    return values.get(tag, "").upper()


def _image_types(values: Values) -> set[str]:
    return {part.strip() for part in _text(values, IMAGE_TYPE).split("\\")}


def _coloured(values: Values) -> bool:
    palette = _text(values, PHOTOMETRIC_INTERPRETATION) == "PALETTE COLOR"
    return palette or _text(values, SAMPLES_PER_PIXEL) not in ("", "1")


def _scanned_by_machine(values: Values) -> bool:
    """Tell whether an image of a tomograph is an original; converters leave (0008,0064) in some."""
    original = _text(values, IMAGE_TYPE).startswith("ORIGINAL\\PRIMARY")
    return original and _text(values, MODALITY) in ("CT", "MR", "PT")


def _fused(values: Values) -> bool:
    if _FUSED.search(_text(values, IMAGE_TYPE)):
        return True
    modality = _text(values, MODALITY)
    return modality == "PT" and (
        _coloured(values) or bool(_FUSED.search(_text(values, SERIES_DESCRIPTION)))
    )


RISKS: Final = (
    Risk(
        "burned-in",
        "the image says itself that text is burned in (0028,0301)",
        lambda v: _text(v, BURNED_IN_ANNOTATION) not in ("", "NO"),
    ),
    Risk(
        "ultrasound",
        "this is an ultrasound image without regions (0018,6011) that set its text apart",
        lambda v: v.get(SOP_CLASS_UID) in ULTRASOUND or _text(v, MODALITY) == "US",
    ),
    Risk(
        "risky-modality",
        "its Modality (0008,0060) is one whose images often show text",
        lambda v: _text(v, MODALITY) in _RISKY_MODALITIES,
    ),
    Risk(
        "risky-class",
        "its SOP class (0008,0016) is not one whose pixels come straight from a detector",
        lambda v: v.get(SOP_CLASS_UID, "") not in _DETECTED,
    ),
    Risk(
        "digitized",
        "it is a capture or a scan (0008,0064)",
        lambda v: bool(_text(v, CONVERSION_TYPE)) and not _scanned_by_machine(v),
    ),
    Risk(
        "screen",
        "its ImageType (0008,0008) tells of a screen or a rendered view",
        lambda v: bool(_SCREEN_TYPE.search(_text(v, IMAGE_TYPE))),
    ),
    Risk(
        "dose-screen",
        "its description or comments are those of a dose or protocol screen",
        lambda v: bool(
            _SCREEN_SERIES.search(v.get(SERIES_DESCRIPTION, ""))
            or _text(v, COMMENTS_ON_RADIATION_DOSE)
        ),
    ),
    Risk("fusion", "it is a fused or coloured PET image", _fused),
    Risk(
        "colour",
        "it is in colour where the modality measures grey values",
        lambda v: _text(v, MODALITY) in _GREY_MODALITIES and _coloured(v),
    ),
    Risk(
        "nm-screen",
        "it is a secondary image of nuclear medicine",
        lambda v: _text(v, MODALITY) == "NM" and "SECONDARY" in _image_types(v),
    ),
    Risk(
        "slide-label",
        "it shows the label of a slide",
        lambda v: bool(_SLIDE_LABEL & _image_types(v)),
    ),
)
