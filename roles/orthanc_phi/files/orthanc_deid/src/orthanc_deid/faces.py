# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces (PS3.15 E.3.2, Clean Recognizable Visual Features): images that may show one are refused.

A face can be made of the slices of a head. This package does not remove it, and so never claims
the option's code (113102): it holds back what shows a head or does not say that it shows none.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import Final

from orthanc_deid.dictionary import load_table
from orthanc_deid.errors import Quarantine

# Sectional images, from which a face can be made, and photographs.
_MODALITIES: Final = frozenset({"CT", "MR", "PT", "XC"})

FACE: Final = "recognizable-face"

_HEAD_IN_WORDS: Final = re.compile(
    r"HEAD|BRAIN|SKULL|FACE|FACIAL|CRANI|CEREB|NEURO|ORBIT|SINUS|NECK|DENTAL|JAW|WHOLE.?BODY",
    re.IGNORECASE,
)


@cache
def _without_head(column: str) -> frozenset[str]:
    return frozenset(" ".join(load_table("parts_without_head.json")[column]).split())


def refuse_faces(
    modality: str, body_part: str, regions: Collection[str], descriptions: str
) -> None:
    """Refuse an image that may show a face.

    Args:
        modality: Modality (0008,0060).
        body_part: Body Part Examined (0018,0015).
        regions: the codes of every Anatomic Region Sequence (0008,2218).
        descriptions: what the study, the series and the protocol are called.

    Raises:
        Quarantine: (code `recognizable-face`) the image is of a kind of which a face can be made,
            and it shows the head or does not say that it does not.
    """
    if modality.upper() not in _MODALITIES:
        return
    part = re.sub(r"[ _-]", "", body_part.upper())
    tells = bool(part or regions)
    without = not part or part in _without_head("body_parts")
    without = without and _without_head("codes").issuperset(regions)
    if tells and without and not _HEAD_IN_WORDS.search(descriptions):
        return
    raise Quarantine(
        FACE,
        "the image shows the head, or neither Body Part Examined (0018,0015) nor Anatomic Region "
        "Sequence (0008,2218) and the descriptions say that it does not; remove the face with a "
        "defacing tool and leave the study out here, or correct these attributes at the source "
        "and send it again",
        {FACE},
    )
