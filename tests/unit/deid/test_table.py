# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of Table E.1-1 is carried out, at every depth and in every encoding."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from orthanc_deid.dictionary import dictionary_vr, profile_table
from orthanc_deid.rules import OWN_ATTRIBUTES

from .instances import SUBJECT, data_set, deidentify, encode, output_of, read

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
VALUES = {
    **dict.fromkeys(("DA", "DT"), "20040119"),
    **dict.fromkeys(("DS", "IS"), "31"),
    **dict.fromkeys(("OB", "OW", "UN"), b"SECRET"),
    "AS": "044Y",
    "TM": "101112",
    "UI": "1.2.826.0.1.55",
    "US": 31,
}
ABSENT, EMPTY, OTHER = "absent", "empty", "other"
ALLOWED = {
    "X": {ABSENT},
    "Z": {EMPTY, OTHER},
    "D": {OTHER, ABSENT},  # absent only outside its IOD (E.1.1, note on D)
    "U": {OTHER},
    "Z/D": {EMPTY, OTHER},
    "X/Z": {ABSENT, EMPTY},
    "X/D": {ABSENT, OTHER},
    "X/Z/D": {ABSENT, EMPTY, OTHER},
    "X/Z/U*": {ABSENT, EMPTY, OTHER},
}


def rows() -> dict[int, tuple[str, str]]:
    """Tag to VR and action of the profile: Basic, with dates moved."""
    found = {}
    for tag, (_, _, vr, action, options) in profile_table()["rows"].items():
        if tag != "private" and tag >= "0008":
            number = int(tag.replace("50xxxxxx", "50020110").replace("xx", "02"), 16)
            moved = options.get("rtnLongModifDates") and vr in ("DA", "DT", "TM")
            found[number] = (dictionary_vr(number) or vr or "UN", "moved" if moved else action)
    return found


def fill(level: Dataset) -> None:
    for tag, (vr, _) in rows().items():
        if tag not in level:
            value = VALUES.get(vr, "SECRET")
            if vr == "SQ":
                value = [Dataset()]
                value[0].CodeMeaning = "SECRET"
            level.add_new(tag, vr, value)


def state(level: Dataset, tag: int, vr: str) -> str:
    if tag not in level:
        return ABSENT
    value = level[tag].value
    if value in (None, "", b"") or (vr == "SQ" and len(value) == 0):
        return EMPTY
    return "same" if value == VALUES.get(vr, "SECRET") or "SECRET" in str(value) else OTHER


# pydicom does not know the newest attributes, and says so when they come in implicit VR.
@pytest.mark.filterwarnings("ignore:VR lookup failed")
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_every_row_is_carried_out_at_top_and_nested(syntax: str) -> None:
    made = data_set()
    item, inner = Dataset(), Dataset()
    fill(item)
    fill(inner)
    fill(made)
    item.PrimaryAnatomicStructureSequence = [inner]
    made.AnatomicRegionSequence = [item]
    data = encode(made, syntax)
    assert data.count(b"SECRET") > 500 or syntax == DeflatedExplicitVRLittleEndian
    output = deidentify(data)
    assert b"SECRET" not in output.data
    after = read(output.data)
    nested = after.AnatomicRegionSequence[0]
    wrong = []
    for level in (after, nested, nested.PrimaryAnatomicStructureSequence[0]):
        for tag, (vr, action) in rows().items():
            if level is after and tag in OWN_ATTRIBUTES:
                continue
            seen = state(level, tag, vr)
            if action == "moved":
                value = level[tag].value
                text = value.decode() if isinstance(value, bytes) else value
                if text.strip() != ("101112" if vr == "TM" else "20031011"):
                    wrong.append((hex(tag), action, seen))
            elif seen not in ALLOWED[action]:
                wrong.append((hex(tag), action, seen))
    assert wrong == []


def test_the_table_is_whole() -> None:
    assert profile_table()["edition"] == "2026d"
    assert len(profile_table()["rows"]) == 657


def test_the_engine_writes_who_the_subject_is() -> None:
    after = output_of(AccessionNumber="ACC-1", StudyID="S-1")
    assert (after.PatientName, after.PatientID) == (SUBJECT.patient_name, SUBJECT.patient_id)
    assert after.AccessionNumber.isdigit()
    assert after.StudyID.isdigit()
    assert len({after.AccessionNumber, after.StudyID, "ACC-1", "S-1"}) == 4


def test_the_engine_writes_what_was_done_and_nothing_else() -> None:
    after = output_of()
    assert after.PatientIdentityRemoved == "YES"
    assert after.DeidentificationMethod.startswith("orthanc_deid ")
    assert "profile basic" in after.DeidentificationMethod
    codes = [item.CodeValue for item in after.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107"]
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"


def test_marks_of_an_earlier_deidentification_are_replaced_in_place() -> None:
    item = Dataset()
    item.CodeValue = "113105"
    after = output_of(
        DeidentificationMethod="by hand, Dr SECRET", DeidentificationMethodCodeSequence=[item]
    )
    assert "SECRET" not in str(after)
    assert len(after.DeidentificationMethodCodeSequence) == 2
    assert [element.tag for element in after] == sorted(element.tag for element in after)


def test_attributes_of_no_dictionary_are_removed_and_reported() -> None:
    made = data_set()
    made.add_new(0x00180001, "LO", "SECRET")
    output = deidentify(encode(made))
    assert b"SECRET" not in output.data
    changes = {(change.path, change.rule) for change in output.record.changes}
    assert ("0018,0001", "unknown attribute") in changes


def test_group_lengths_and_private_attributes_are_dropped() -> None:
    made = data_set()
    made.add_new(0x00080000, "UL", 42)
    block = made.private_block(0x0009, "SECRET CREATOR", create=True)
    block.add_new(1, "LO", "SECRET")
    after = read(deidentify(encode(made)).data)
    assert not [element for element in after if element.tag.is_private or element.tag.element == 0]


def test_file_meta_and_preamble_tell_nothing_of_the_source() -> None:
    made = data_set()
    made.preamble = b"SECRET".ljust(128)
    data = encode(made).replace(b"\0" * 128, b"SECRET".ljust(128), 1)
    output = deidentify(data)
    meta = read(output.data).file_meta
    assert output.data[:128] == bytes(128)
    assert meta.MediaStorageSOPInstanceUID == output.sop_instance_uid
    assert meta.ImplementationVersionName.startswith("ORTHANCDEID")
    assert "SourceApplicationEntityTitle" not in meta
