# SPDX-License-Identifier: GPL-3.0-or-later
"""Identifiers where nobody looks: in comments of compressed frames, behind pixels, as old UIDs."""

from __future__ import annotations

from dataclasses import replace
from struct import pack

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
)

from orthanc_deid.engine import Engine, Output
from orthanc_deid.errors import Quarantine
from orthanc_deid.profile import load_profile

from .instances import (
    KEYS,
    PIXELS_PASS,
    basic_engine,
    data_set,
    deidentify,
    encode,
    instance,
    read,
)

NATIVE = bytes(64 * 64 * 2)
SCAN = bytes(5000)  # too long to be searched as a short binary value
NAME = b"acquired for OTTOLINE QUILLFEATHER"


def image(pixels: bytes, transfer_syntax: str = "") -> bytes:
    """An image of 64 by 64 pixels of 16 bits, whose frames are not decoded by anyone here."""
    made = data_set(
        Rows=64, Columns=64, SamplesPerPixel=1, BitsAllocated=16, BitsStored=16, HighBit=15,
        PixelRepresentation=0, PhotometricInterpretation="MONOCHROME2", Modality="CT",
    )  # fmt: skip
    made.add_new(0x7FE00010, "OB" if transfer_syntax else "OW", pixels)
    if not transfer_syntax:
        return encode(made)
    made["PixelData"].is_undefined_length = True
    return encode(made, transfer_syntax)


def jpeg(*segments: tuple[int, bytes], behind: bytes = b"") -> bytes:
    """A code stream of JPEG or JPEG-LS with these segments before its scan."""
    head = b"".join(
        bytes((0xFF, marker)) + pack(">H", len(body) + 2) + body for marker, body in segments
    )
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + SCAN
    return b"\xff\xd8" + head + scan + b"\xff\xd9" + behind


def jpeg_2000(comment: bytes) -> bytes:
    """A code stream of JPEG 2000 with a comment, marked as text by its first two bytes."""
    size = b"\xff\x51" + pack(">H", 40) + bytes(38)
    said = b"\xff\x64" + pack(">H", len(comment) + 4) + b"\x00\x01" + comment
    return b"\xff\x4f" + size + said + b"\xff\x93" + SCAN + b"\xff\xd9"


@pytest.mark.parametrize(
    ("frame", "transfer_syntax"),
    [
        (jpeg((0xFE, NAME)), JPEGBaseline8Bit),
        (jpeg((0xE0, b"JFIF\0"), (0xE1, b"Exif\0\0" + NAME)), JPEGBaseline8Bit),
        (jpeg((0xFE, NAME)), JPEGLSLossless),
        (jpeg(behind=b"  " + NAME), JPEGBaseline8Bit),
        (jpeg_2000(NAME), JPEG2000Lossless),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + NAME + jpeg_2000(b""), JPEG2000Lossless),
    ],
    ids=["comment", "application data", "JPEG-LS", "behind the end", "JPEG 2000", "JP2 box"],
)
def test_a_name_beside_the_compressed_pixels_holds_the_study_back(
    frame: bytes, transfer_syntax: str
) -> None:
    hidden = image(encapsulate([jpeg(), frame]), transfer_syntax)
    with pytest.raises(Quarantine, match="comment inside Pixel Data") as held:
        deidentify(hidden)
    assert held.value.code == "leak"
    assert "uillfeather" not in str(held.value).lower()


def test_a_comment_that_names_nobody_passes_with_its_pixels() -> None:
    frames = encapsulate([jpeg((0xFE, b"LEAD Technologies 1.01")), jpeg_2000(b"Kakadu-v6")])
    output = read(deidentify(image(frames, JPEGBaseline8Bit)).data)
    assert output.PixelData == frames


def test_a_name_behind_the_last_native_pixel_holds_the_study_back() -> None:
    with pytest.raises(Quarantine, match="behind its last pixel"):
        deidentify(image(NATIVE + NAME))
    pixels = NATIVE + b"\0" * 6
    assert read(deidentify(image(pixels)).data).PixelData == pixels


@pytest.mark.parametrize("deflated", [False, True])
def test_a_long_name_in_bytes_that_are_no_text_holds_the_study_back(*, deflated: bool) -> None:
    made = data_set()
    made.add_new(0x00281201, "OW", bytes(6000) + b"Quillfeather" + bytes(6000))
    syntax = DeflatedExplicitVRLittleEndian if deflated else ExplicitVRLittleEndian
    with pytest.raises(Quarantine, match="holds no text") as held:
        deidentify(encode(made, syntax))
    assert held.value.code == "leak"
    made[0x00281201].value = bytes(6000) + b"Quillfeathers" + bytes(6001)  # another word
    assert deidentify(encode(made, syntax)).data


def test_a_name_with_zeros_between_its_letters_is_found() -> None:
    wide = "Quillfeather".encode("utf-16-le").decode("latin-1")
    output = deidentify(instance(SeriesDescription=f"chest {wide}")).data
    assert b"Q\0u\0i" not in output


def test_an_old_uid_inside_a_text_that_stays_holds_the_study_back() -> None:
    uid = "1.2.826.0.1.3680043.10.977.5"
    with pytest.raises(Quarantine, match="Manufacturer"):
        deidentify(instance(SOPInstanceUID=uid, Manufacturer=f"made {uid} here"))
    other = instance(SOPInstanceUID=uid, Manufacturer="1.2.826.0.1.3680043.10.977.6")
    assert read(deidentify(other).data).Manufacturer


def test_the_name_of_a_character_set_is_searched_too() -> None:
    with pytest.raises(Quarantine, match="SpecificCharacterSet"):
        deidentify(instance(SpecificCharacterSet="QUILLFEATHER"))


def test_what_is_remembered_of_other_instances_changes_nothing() -> None:
    """Instances that share most of their bytes come out as if each were the first one."""

    def series() -> list[bytes]:
        nested = Dataset()
        nested.ReferencedSOPInstanceUID, nested.ContentDate = "1.2.3.4", "20240315"
        return [
            instance(
                SOPInstanceUID=f"1.2.3.{number}",
                StudyDate="20240315",
                StudyDescription="CT chest, seen by Dr. Smythe" if number % 2 else "CT chest",
                PatientName="Quillfeather^Ottoline" if number < 4 else "Quillfeather^Otto",
                SpecificCharacterSet="ISO_IR 100" if number % 3 else "ISO_IR 192",
                ReferencedImageSequence=[nested],
            )
            for number in range(8)
        ]

    def told(output: Output) -> tuple[object, ...]:
        return output.data, output.record.to_dict(), dict(output.uid_mapping)

    profile = basic_engine().profile
    shared = [told(deidentify(data)) for data in series() * 2]
    alone = [told(deidentify(data, Engine(profile, KEYS))) for data in series()]
    assert shared == alone * 2


def test_what_the_iod_demands_is_left_empty_where_the_table_removes_it() -> None:
    request = Dataset()
    request.RequestedProcedureID, request.AccessionNumber = "RP-4711", "A-4711"
    report = instance(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", ReferencedRequestSequence=[request]
    )
    (item,) = read(deidentify(report).data).ReferencedRequestSequence
    assert item.RequestedProcedureID == ""
    assert "RequestedProcedureID" not in read(deidentify(instance(RequestedProcedureID="RP")).data)


@pytest.mark.parametrize("species", ["canine", None])
def test_an_animal_keeps_empty_places_for_who_is_responsible(species: str | None) -> None:
    given = {"PatientSpeciesDescription": species} if species else {}
    output = read(deidentify(instance(ResponsiblePerson="Smythe^Ann", **given)).data)
    assert ("ResponsiblePerson" in output) == (species is not None)
    assert not output.get("ResponsiblePerson")


def test_a_value_of_unknown_vr_is_padded_as_its_dictionary_vr_wants() -> None:
    made = data_set(ClinicalTrialSubjectID="1234")
    made.add_new(0x00120040, "UN", b"1234")  # Clinical Trial Subject ID, which becomes REMOVED
    output = deidentify(encode(made)).data
    assert b"REMOVED " in output
    assert b"REMOVED\0" not in output


def test_a_label_that_the_table_keeps_loses_names_and_keeps_short_codes() -> None:
    engine = Engine(replace(load_profile("research"), pixel_rules=PIXELS_PASS), KEYS)
    for given, left in (
        ("NK5", "NK5"),
        ("NK5 OTTOLINE QUILLFEATHER", "NK5"),
        ("NK5 Vossberg", "NK5"),
        ("Liver, drawn by Dr. Smythe 12.03.2024", "Liver"),
    ):
        output = read(deidentify(instance(FrameLabel=given), engine).data)
        assert str(output.FrameLabel).startswith(left), given
        assert not {"QUILLFEATHER", "Smythe", "Vossberg", "12.03.2024"} & set(
            str(output.FrameLabel).split()
        )
    assert "NK5" not in str(read(deidentify(instance(StudyDescription="NK5"), engine).data))
