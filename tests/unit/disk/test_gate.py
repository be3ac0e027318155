"""Only what is marked as de-identified passes, and whatever cannot be read is refused."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

import deidentified_only
from deidentified_only import is_deidentified

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


def nested(depth: int, marker: str | None, *, undefined: bool) -> Sequence:
    item = Dataset()
    item.is_undefined_length_sequence_item = undefined
    item.CodeValue = "1"
    if marker:
        item.PatientIdentityRemoved = marker
    if depth:
        item.PurposeOfReferenceCodeSequence = nested(depth - 1, marker, undefined=undefined)
        item["PurposeOfReferenceCodeSequence"].is_undefined_length = undefined
    return Sequence([item])


def dicom(
    marker: str | None,
    syntax: UID = ExplicitVRLittleEndian,
    *,
    nested_marker: str | None = None,
    undefined: bool = True,
) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = "2.25.1"
    dataset.ReferencedStudySequence = nested(2, nested_marker, undefined=undefined)
    dataset["ReferencedStudySequence"].is_undefined_length = undefined
    dataset.PatientName = "SOMEBODY"
    if marker is not None:
        dataset.PatientIdentityRemoved = marker
    dataset.PixelData = bytes(32)
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [True, False])
def test_a_marked_file_passes_in_every_encoding(syntax: UID, undefined: bool) -> None:
    assert is_deidentified(dicom("YES", syntax, undefined=undefined))


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("marker", [None, "", "NO", "yes", "YES\\NO", "YESS"])
@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_any_other_marker_is_refused(syntax: UID, marker: str | None) -> None:
    assert not is_deidentified(dicom(marker, syntax))


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [True, False])
def test_a_marker_inside_a_sequence_does_not_count(syntax: UID, undefined: bool) -> None:
    assert not is_deidentified(dicom(None, syntax, nested_marker="YES", undefined=undefined))
    assert not is_deidentified(dicom("NO", syntax, nested_marker="YES", undefined=undefined))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_cut_off_before_the_end_of_its_marker_is_refused(syntax: UID) -> None:
    data = dicom("YES", syntax)
    end = data.find(b"YES ") + 4 if syntax != DeflatedExplicitVRLittleEndian else 200
    assert end > 132
    assert not any(is_deidentified(data[:length]) for length in range(end))


def test_a_second_marker_out_of_order_is_refused() -> None:
    marker = b"\x12\x00\x62\x00CS\x04\x00"
    good = dicom("YES")
    assert marker + b"YES " in good
    assert not is_deidentified(
        good.replace(marker + b"YES ", (marker + b"NO  ") + marker + b"YES ")
    )
    assert not is_deidentified(good.replace(marker, b"\x10\x00\x10\x00PN\x00\x00" + marker))


def test_a_sequence_of_unknown_vr_is_stepped_over() -> None:
    explicit = dicom("YES")
    implicit = dicom("YES", ImplicitVRLittleEndian)
    tag = b"\x08\x00\x10\x11"
    start, end = implicit.index(tag) + 8, implicit.index(b"\x10\x00\x10\x00")
    items = implicit[start:end]
    first, last = explicit.index(tag), explicit.index(b"\x10\x00\x10\x00")
    unknown = tag + b"UN\0\0\xff\xff\xff\xff" + items
    assert is_deidentified(explicit[:first] + unknown + explicit[last:])


def test_sequences_nested_without_end_are_refused() -> None:
    start = dicom("YES")
    sequence = b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    head = start[: start.index(b"\x08\x00\x16\x00")]
    assert not is_deidentified(head + sequence * 100_000)


@given(st.binary(max_size=400))
def test_nothing_that_is_no_dicom_passes_or_raises(noise: bytes) -> None:
    assert not is_deidentified(noise)
    assert not is_deidentified(dicom(None)[:180] + noise)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_a_damaged_file_without_marker_never_raises(place: int, value: int) -> None:
    data = bytearray(dicom("NO"))
    data[place % len(data)] = value
    is_deidentified(bytes(data))


class Orthanc:
    """What the gate asks of the module `orthanc`."""

    ReceivedInstanceAction = SimpleNamespace(DISCARD="discard", KEEP_AS_IS="keep")
    InstanceOrigin = SimpleNamespace(DICOM_PROTOCOL="dicom", REST_API="rest")

    def __init__(self) -> None:
        self.log: list[str] = []

    def LogWarning(self, text: str) -> None:  # noqa: N802
        self.log.append(text)


def instance(data: bytes) -> Any:
    return SimpleNamespace(GetInstanceData=lambda: data)


def test_over_rest_an_identified_instance_is_discarded_and_a_marked_one_kept_as_it_is() -> None:
    orthanc = Orthanc()
    decide = deidentified_only.received_instance(orthanc)
    assert decide(dicom("YES"), "rest") == ("keep", None)
    assert decide(dicom(None), "rest") == ("discard", None)
    assert orthanc.log
    assert not any("SOMEBODY" in line for line in orthanc.log)


def test_over_c_store_the_sender_gets_a_failure() -> None:
    orthanc = Orthanc()
    assert deidentified_only.received_instance(orthanc)(dicom(None), "dicom") == ("keep", None)
    decide = deidentified_only.incoming_c_store(orthanc)
    assert decide(instance(dicom("YES"))) == 0
    assert decide(instance(dicom(None))) & 0xF000 == 0xC000


def test_an_error_inside_the_gate_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(deidentified_only, "is_deidentified", fail)
    orthanc = Orthanc()
    assert deidentified_only.received_instance(orthanc)(b"", "rest") == ("discard", None)
    assert deidentified_only.incoming_c_store(orthanc)(instance(b"")) & 0xF000 == 0xC000
