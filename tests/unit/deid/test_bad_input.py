# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever comes in: de-identified output, or a reason in one sentence. Never anything else."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from orthanc_deid.errors import Quarantine
from orthanc_deid.identity import read_identity

from .instances import SUBJECT, basic_engine, data_set, deidentify, encode, instance, read


def quarantine(data: bytes) -> Quarantine:
    with pytest.raises(Quarantine) as caught:
        deidentify(data)
    assert caught.value.message.count("\n") == 0
    return caught.value


@pytest.mark.parametrize("data", [b"", b"hello", b"\0" * 4096, b"%PDF-1.7 " * 99, b"\xff" * 500])
def test_what_is_not_dicom_is_refused(data: bytes) -> None:
    assert quarantine(data).code == "unreadable"


@pytest.mark.parametrize(
    ("keyword", "code"),
    [("PatientID", "no-patient-id"), ("StudyInstanceUID", "no-uid"), ("SOPInstanceUID", "no-uid")],
)
def test_an_instance_that_does_not_say_whose_it_is_is_refused(keyword: str, code: str) -> None:
    made = data_set()
    setattr(made, keyword, "" if keyword == "PatientID" else None)
    error = quarantine(encode_loosely(made))
    assert error.code == code
    assert keyword in error.message


def encode_loosely(made: Dataset) -> bytes:
    buffer = BytesIO()
    made.save_as(buffer, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


@given(cut=st.integers(1, 400))
def test_a_file_cut_off_anywhere_is_refused_or_whole(cut: int) -> None:
    data = instance(ImageComments="x" * 100, Rows=1)
    try:
        deidentify(data[:-cut])
    except Quarantine as error:
        assert error.code in {"unreadable", "no-uid", "no-patient-id"}  # noqa: PT017


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(st.lists(st.tuples(st.integers(132, 700), st.integers(0, 255)), max_size=8))
def test_damage_anywhere_gives_an_output_or_a_reason(damage: list[tuple[int, int]]) -> None:
    item = Dataset()
    item.CodeValue = "1"
    data = bytearray(instance(AnatomicRegionSequence=[item], StudyDate="20240101", Rows=5))
    for place, byte in damage:
        data[place % len(data)] = byte
    try:
        identity = read_identity(bytes(data))
        output = basic_engine().deidentify(bytes(data), SUBJECT, identity.identifiers)
    except Quarantine:
        return
    assert b"Quillfeather" not in output.data or damage


def sequence_of(depth: int, *, defined: bool) -> bytes:
    """An element (0008,2218) that holds itself `depth` times."""
    content = b""
    for _ in range(depth):
        if defined:
            item = struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content
            content = struct.pack("<HH2sHL", 8, 0x2218, b"SQ", 0, len(item)) + item
        else:
            item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + content
            item += struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
            content = struct.pack("<HH2sHL", 8, 0x2218, b"SQ", 0, 0xFFFFFFFF) + item
    return content


@pytest.mark.parametrize("defined", [True, False])
def test_nesting_is_bounded(defined: bool) -> None:
    data = instance()
    place = data.index(b"\x10\x00\x10\x00PN")
    deep = quarantine(data[:place] + sequence_of(3000, defined=defined) + data[place:])
    assert "nested more than 64 deep" in deep.message
    output = deidentify(data[:place] + sequence_of(60, defined=defined) + data[place:])
    assert read(output.data).AnatomicRegionSequence


def test_an_unknown_value_representation_is_refused() -> None:
    data = instance(BodyPartExamined="HEAD").replace(b"\x18\x00\x15\x00CS", b"\x18\x00\x15\x00Q?")
    assert "(0018,0015)" in quarantine(data).message


def test_a_length_beyond_the_file_names_the_attribute_and_the_place() -> None:
    made = data_set(SliceThickness="1.25")
    data = encode(made)
    place = data.index(b"\x18\x00\x50\x00DS")
    broken = data[: place + 6] + b"\xff\x7f" + data[place + 8 :]
    message = quarantine(broken).message
    assert "(0018,0050)" in message
    assert f"byte {place}" in message


def test_no_message_holds_a_value_of_the_patient() -> None:
    data = instance(SliceThickness="1.25", Manufacturer="Quillfeather")
    assert "uillfeather" not in str(quarantine(data))
