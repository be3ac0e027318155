# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A synthetic CT study that can be told from all others, written by hand.

A host has no DICOM library, so the files are written here, in explicit VR little endian (PS3.5
section 7.1, PS3.10 section 7.1).
"""

from __future__ import annotations

import random
import secrets
import struct
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Union

PATIENT_ID, ISSUER, ACCESSION = "ORTHANC-ROUND-TRIP", "imaging.orthanc", "ROUND-TRIP-0"
"""The same in every test study, so that a site has one test subject, whatever it numbers by."""

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
IMPLEMENTATION = "2.25.160160711391318613893297893423403203829"
SIDE = 32  # pixels
BIRTH_DATE = "19330217"

# PS3.5 section 7.1.2: these have two reserved bytes and a length of 32 bits, all others 16 bits.
LONG = frozenset({"OB", "OW", "SQ", "UT"})

Value = Union[str, int, bytes, list["Elements"]]
Elements = dict[int, tuple[str, Value]]
"""By tag: VR and value."""


@dataclass(frozen=True)
class StudyForTest:
    """The files of a study, and all in them that must not come out of a de-identification."""

    study_instance_uid: str
    files: list[bytes]
    planted: list[str]


@dataclass
class _Planting:
    """Makes values that stand nowhere else, and keeps them."""

    planted: list[str] = field(default_factory=list)

    def token(self) -> str:
        self.planted.append(f"ZQ{secrets.token_hex(4).upper()}XJ")
        return self.planted[-1]

    def uid(self) -> str:
        self.planted.append(f"2.25.{uuid.uuid4().int}")
        return self.planted[-1]


def make_study(instances: int) -> StudyForTest:
    """Make a study whose identifiers are unique and are marked as those of a test."""
    plant = _Planting([PATIENT_ID, BIRTH_DATE])
    common = _common(plant)
    files = [write_file({**common, **_instance(plant, number + 1)}) for number in range(instances)]
    return StudyForTest(str(common[0x0020000D][1]), files, plant.planted)


def _common(plant: _Planting) -> Elements:
    """What all instances say; what a person's name or a free text holds is planted."""
    now = datetime.now(timezone.utc)
    private: Elements = {0x00080080: ("LO", plant.token()), 0x00100010: ("PN", plant.token())}
    return {
        0x00080005: ("CS", "ISO_IR 100"),
        0x00080008: ("CS", "ORIGINAL\\PRIMARY\\AXIAL"),
        0x00080016: ("UI", CT_IMAGE_STORAGE),
        0x00080020: ("DA", now.strftime("%Y%m%d")),
        0x00080030: ("TM", now.strftime("%H%M%S")),
        0x00080050: ("SH", ACCESSION),
        0x00080060: ("CS", "CT"),
        0x00080070: ("LO", "SYNTHETIC"),
        0x00080080: ("LO", plant.token()),
        0x00080090: ("PN", f"{plant.token()}^REFERRING"),
        0x00081030: ("LO", "SYSTEM CHECK"),
        0x00081050: ("PN", f"{plant.token()}^PERFORMING"),
        0x00081110: (
            "SQ",
            [{0x00081150: ("UI", CT_IMAGE_STORAGE), 0x00081155: ("UI", plant.uid())}],
        ),
        0x00100010: ("PN", f"{plant.token()}^PATIENT"),
        0x00100020: ("LO", PATIENT_ID),
        0x00100021: ("LO", ISSUER),
        0x00100030: ("DA", BIRTH_DATE),
        0x00100040: ("CS", "O"),
        0x00101040: ("LO", plant.token()),
        0x00180015: ("CS", "KNEE"),
        0x00180050: ("DS", "1"),
        0x00180060: ("DS", "120"),
        0x00181000: ("LO", plant.token()),
        0x00185100: ("CS", "HFS"),
        0x0020000D: ("UI", plant.uid()),
        0x0020000E: ("UI", plant.uid()),
        0x00200010: ("SH", plant.token()),
        0x00200011: ("IS", "1"),
        0x00200012: ("IS", "1"),
        0x00200037: ("DS", "1\\0\\0\\0\\1\\0"),
        0x00200052: ("UI", plant.uid()),
        0x00200060: ("CS", "L"),
        0x00201040: ("LO", ""),
        0x00280002: ("US", 1),
        0x00280004: ("CS", "MONOCHROME2"),
        0x00280010: ("US", SIDE),
        0x00280011: ("US", SIDE),
        0x00280030: ("DS", "1\\1"),
        0x00280100: ("US", 16),
        0x00280101: ("US", 12),
        0x00280102: ("US", 11),
        0x00280103: ("US", 0),
        0x00280300: ("CS", "YES"),  # Quality Control Image: no patient's
        0x00281052: ("DS", "-1024"),
        0x00281053: ("DS", "1"),
        0x00990010: ("LO", f"ACME {plant.token()}"),
        0x00991001: ("LO", plant.token()),
        0x00991002: ("SQ", [private]),
    }


def _instance(plant: _Planting, number: int) -> Elements:
    pixels = random.Random(number)  # noqa: S311 - a picture
    return {
        0x00080018: ("UI", plant.uid()),
        0x00200013: ("IS", str(number)),
        0x00200032: ("DS", f"0\\0\\{number}"),
        0x7FE00010: (
            "OW",
            b"".join(struct.pack("<H", pixels.randrange(4096)) for _ in range(SIDE * SIDE)),
        ),
    }


def write_file(dataset: Elements) -> bytes:
    """Return a data set as a DICOM file."""
    meta: Elements = {
        0x00020001: ("OB", b"\0\1"),
        0x00020002: ("UI", dataset[0x00080016][1]),
        0x00020003: ("UI", dataset[0x00080018][1]),
        0x00020010: ("UI", EXPLICIT_LITTLE_ENDIAN),
        0x00020012: ("UI", IMPLEMENTATION),
    }
    written = _write(meta)
    length = _element(0x00020000, "UL", struct.pack("<L", len(written)))
    return b"\0" * 128 + b"DICM" + length + written + _write(dataset)


def _write(elements: Elements) -> bytes:
    return b"".join(
        _element(tag, vr, _encode(vr, value)) for tag, (vr, value) in sorted(elements.items())
    )


def _element(tag: int, vr: str, value: bytes) -> bytes:
    header = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    length = struct.pack("<HL" if vr in LONG else "<H", *([0] if vr in LONG else []), len(value))
    return header + length + value


def _encode(vr: str, value: Value) -> bytes:
    if isinstance(value, list):
        items = [_write(item) for item in value]
        return b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
    if isinstance(value, int):
        return struct.pack("<H", value)
    data = value.encode("latin-1") if isinstance(value, str) else value
    return data + (b"\0" if vr in {"UI", "OB"} else b" ") * (len(data) % 2)
