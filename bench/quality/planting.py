# SPDX-License-Identifier: GPL-3.0-or-later
"""Unique text planted in everything of a DICOM file that may identify a person."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from io import BytesIO
from typing import Final

import pydicom
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from .expectation import OWN, TEXT_VRS, Path, Types, rows, types_of

# Sequences that no rule touches, one planted into the other.
HOST: Final = 0x00082218  # Anatomic Region Sequence
INNER: Final = 0x00082220  # Anatomic Region Modifier Sequence
FULL_PLACES: Final = (
    2  # items that exist and take all attributes; the others take those of their IOD
)
MAX_PLACES: Final = 200
SAFE_WORD: Final = "HEAD"
_PIXELS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_NUMBERS: Final = frozenset({"DS", "IS", "US", "SS", "UL", "SL", "FL", "FD", "UV", "SV"})
_BYTES: Final = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})
_LONG_TEXT: Final = frozenset({"LT", "ST", "UT"})
# Orthanc cannot anonymize a file that has it, so it is planted only beside other values of VR UN.
_SELECTOR_UN: Final = 0x0072006D
_SERVICE: Final = 0x00321033  # Requesting Service
_NO_ROW: Final = ["", "", "", "", {}]
_CREATOR: Final = "SIEMENS MR HEADER"  # its 0C is safe by Table E.3.10-1, its 77 is not


# What a token looks like, in small letters.
TOKEN: Final = re.compile(rb"qzv\d{6,}|1\.2\.826\.0\.1\.9\.7\d{8,}")


@dataclass(frozen=True)
class Planted:
    """A file with tokens in it.

    Attributes:
        data: the DICOM file.
        tokens: each token, and the attribute in which it was planted first; tokens of the file
            head stand under the empty path.
    """

    data: bytes
    tokens: dict[bytes, Path] = field(repr=False)


class Planter:
    """Plants tokens, each of them once, and some again inside free text."""

    def __init__(self, first: int = 0, *, unknown_vr: bool = False) -> None:
        self.tokens: dict[bytes, Path] = {}
        self._first = first
        self._unknown_vr = unknown_vr
        self._said: dict[int, str] = {}

    def token(self, vr: str, path: Path) -> str:
        """Return text that stands nowhere else."""
        number = self._first + len(self.tokens)
        text = f"1.2.826.0.1.9.7{number:08d}" if vr == "UI" else f"Qzv{number:06d}"
        token = text.upper() if vr in ("CS", "AE") else text
        self.tokens[token.encode()] = path
        return token

    def plant(self, dataset: Dataset, path: Path = ()) -> None:
        """Plant a token in every attribute of Table E.1-1 and in private elements."""
        self.plant_attributes(dataset, list(listed_tags()), path)
        self._private(dataset, path)

    def plant_attributes(self, dataset: Dataset, tags: list[int], path: Path) -> None:
        """Plant a token in some attributes."""
        for tag in tags:
            if tag not in OWN and (self._unknown_vr or tag != _SELECTOR_UN):
                self._attribute(dataset, tag, _vr(tag), path)

    def _attribute(self, dataset: Dataset, tag: int, vr: str, path: Path) -> None:
        here = (*path, tag)
        if vr == "SQ":
            if not dataset.get(tag):
                self._add(dataset, tag, "SQ", Sequence([self._item(here)]))
            return
        self._add(dataset, tag, vr, self._value(vr, here))

    def _add(self, dataset: Dataset, tag: int, vr: str, value: object) -> None:
        dataset.add_new(tag, vr, value)
        if self._unknown_vr and tag % 3 == 0:
            known = config.replace_un_with_known_vr
            config.replace_un_with_known_vr = False
            try:
                dataset.add_new(tag, "UN", _implicit_value(dataset, tag))
            finally:
                config.replace_un_with_known_vr = known

    def _item(self, path: Path) -> Dataset:
        item = Dataset()
        item.CodeValue = self.token("SH", (*path, 0x00080100))
        item.CodingSchemeDesignator = "99LOCAL"
        item.CodeMeaning = self.token("LO", (*path, 0x00080104))
        item.PersonName = self._value("PN", (*path, 0x0040A123))
        item.InstitutionName = self._value("LO", (*path, 0x00080080))
        item.StudyDate = self._value("DA", (*path, 0x00080020))
        item.ReferencedSOPInstanceUID = self._value("UI", (*path, 0x00081155))
        return item

    def _value(self, vr: str, path: Path) -> object:
        number = self._first + len(self.tokens)
        day = date(1931, 1, 1) + timedelta(days=number % 20000)
        plain: dict[str, object] = {
            "DA": f"{day:%Y%m%d}", "TM": "111213", "DT": f"{day:%Y%m%d}101112.5+0100",
            "AS": "063Y", "AT": 0x00100010,
        }  # fmt: skip
        if vr in plain:
            return plain[vr]
        if vr in _NUMBERS:
            return 7
        if path[-1] == 0x00080201:  # Timezone Offset From UTC
            return "+0100"
        token = self.token(vr, path)
        if vr in _BYTES:
            return token.encode().ljust(16)
        if vr == "PN":
            token = f"{token}^{self.token(vr, path)}"
        elif vr in TEXT_VRS and _is_description(path[-1]):
            prose = self._prose(day) if vr in _LONG_TEXT and len(path) == 1 else ""
            token = f"{SAFE_WORD} {token}{prose}"
        if len(path) == 1:
            self._said.setdefault(path[-1], token)
        return token

    def _prose(self, day: date) -> str:
        """Tell in free text what stands elsewhere."""
        name = self._said.get(0x00100010, "").replace("^", ", ")
        number = self._said.get(0x00100020, "")
        physician = self._said.get(0x00080090, "").partition("^")[0]
        if not (name and number):
            return ""
        return f". Patient {name} (MRN {number}), seen {day:%d.%m.%Y} by Dr. {physician}"

    def _private(self, dataset: Dataset, path: Path) -> None:
        creator = f"ACME {self.token('LO', (*path, 0x00770010))}"
        block = dataset.private_block(0x0077, creator, create=True)
        block.add_new(1, "LO", self.token("LO", (*path, 0x00771001)))
        block.add_new(2, "PN", self.token("PN", (*path, 0x00771002)))
        inside = Dataset()
        inside.PatientName = self.token("PN", (*path, 0x00771003, 0x00100010))
        inside.is_undefined_length_sequence_item = True
        block.add_new(3, "SQ", Sequence([inside]))
        block[3].is_undefined_length = True
        safe = dataset.private_block(0x0019, _CREATOR, create=True)
        low = safe.block_start
        safe.add_new(0x0C, "IS", 1000)
        safe.add_new(0x77, "LO", self.token("LO", (*path, 0x00190000 + low + 0x77)))
        # An element whose block has no creator belongs to nobody.
        dataset.add_new(0x0079FF01, "LO", self.token("LO", (*path, 0x0079FF01)))


def listed_tags() -> Iterator[int]:
    """Yield the attributes of Table E.1-1 that a data set may hold, a curve and an overlay each."""
    for tag in rows():
        if tag == "private" or tag < "0008":
            continue
        yield int(tag.replace("50xxxxxx", "50003000").replace("xx", "00"), 16)


def _is_description(tag: int) -> bool:
    """Tell whether the option cleans an attribute; a service's name is none though it does."""
    return tag != _SERVICE and "cleanDesc" in rows().get(f"{tag:08X}", _NO_ROW)[4]


def _vr(tag: int) -> str:
    try:
        known = dictionary_VR(tag)
    except KeyError:  # newer than pydicom
        known = rows().get(f"{tag:08X}", _NO_ROW)[2] or "UN"
    return "OW" if "OW" in known else known


def _implicit_value(dataset: Dataset, tag: int) -> bytes:
    """Encode one value as it stands in an element of VR UN."""
    one = Dataset()
    one.add(dataset[tag])
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    write_dataset(buffer, one)
    return buffer.getvalue()[8:]


def without_pixels(data: bytes) -> bytes:
    """Return a file without its pixel data, for a judgement of its attributes alone."""
    dataset = pydicom.dcmread(BytesIO(data), force=True)
    for keyword in _PIXELS:
        if keyword in dataset:
            del dataset[keyword]
    return _written(dataset)


def plant(data: bytes, first: int = 0, *, unknown_vr: bool = False) -> Planted:
    """Plant tokens at the top level, in sequences, in private elements and in the file head.

    Args:
        data: a DICOM file.
        first: the number of the first token.
        unknown_vr: whether to write a third of what is planted with VR UN.
    """
    planter = Planter(first, unknown_vr=unknown_vr)
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(BytesIO(data), force=True)
        if "PatientIdentityRemoved" in dataset:
            del dataset.PatientIdentityRemoved  # such a study is not done again
        types = types_of(str(dataset.get("SOPClassUID", ""))) or Types()
        places = list(_existing_items(dataset, types, ()))[:MAX_PLACES]
        planter.plant(dataset)
        for item, _, path in places[:FULL_PLACES]:
            planter.plant(item, path)
        for item, inner, path in places[FULL_PLACES:]:
            planter.plant_attributes(
                item, [tag for tag in listed_tags() if tag in inner.types], path
            )
        _add_sequences(planter, dataset)
        _plant_head(planter, dataset)
        return Planted(_written(dataset), planter.tokens)


def _existing_items(
    dataset: Dataset, types: Types, path: Path
) -> Iterator[tuple[Dataset, Types, Path]]:
    """Yield the first item of each sequence that exists, the outer ones first."""
    for element in dataset:
        if element.VR == "SQ" and element.value and not element.tag.is_private:
            here = (*path, int(element.tag))
            inner = types.items.get(int(element.tag), Types())
            yield element.value[0], inner, here
            yield from _existing_items(element.value[0], inner, here)


def _add_sequences(planter: Planter, dataset: Dataset) -> None:
    host, inner = Dataset(), Dataset()
    planter.plant_attributes(inner, list(listed_tags())[::3], (HOST, INNER))
    planter.plant(host, (HOST,))
    host.add_new(INNER, "SQ", Sequence([inner]))
    if not dataset.get(HOST):
        dataset.add_new(HOST, "SQ", Sequence([host]))


def _plant_head(planter: Planter, dataset: Dataset) -> None:
    dataset.preamble = planter.token("LO", ()).encode().ljust(128)
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    meta.SourceApplicationEntityTitle = planter.token("AE", ())
    meta.ImplementationVersionName = planter.token("SH", ())
    meta.PrivateInformationCreatorUID = UID(planter.token("UI", ()))
    meta.PrivateInformation = planter.token("LO", ()).encode().ljust(16)
    dataset.file_meta = meta


def _written(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()
