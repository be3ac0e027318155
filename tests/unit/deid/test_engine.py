# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's pseudonyms, its record, and that any data set comes out clean or not at all."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from orthanc_deid.dictionary import dictionary_vr, profile_table
from orthanc_deid.engine import Engine
from orthanc_deid.errors import Quarantine
from orthanc_deid.keys import Keys
from orthanc_deid.profile import load_profile

from .instances import SUBJECT, basic_engine, data_set, deidentify, encode, instance, read

# Stands for the name where pydicom would not write one.
NUMBER = "777777777"
UIDS = st.from_regex(r"1\.2(\.[1-9][0-9]{0,8}){1,5}", fullmatch=True)
TAGS = st.sampled_from(
    [int(tag, 16) for tag in profile_table()["rows"] if tag != "private" and "x" not in tag]
    + [0x00080060, 0x00180050, 0x00200013, 0x00091001, 0x00082218]
).filter(lambda tag: tag > 0x00080018 and tag not in (0x0020000D, 0x0020000E))


def engine_of(secret: bytes, project: str = "default") -> Engine:
    return Engine(load_profile("basic"), Keys.derive(secret, project))


@given(UIDS)
def test_a_uid_maps_to_the_same_uid_under_the_same_secret_only(uid: str) -> None:
    one = engine_of(b"1" * 32)
    assert one.map_uid(uid) == engine_of(b"1" * 32).map_uid(uid)
    others = {engine_of(b"2" * 32).map_uid(uid), engine_of(b"1" * 32, "trial").map_uid(uid)}
    assert one.map_uid(uid) not in others
    assert len(others) == 2


def test_uids_that_name_classes_stay_and_all_others_go() -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    reference.ReferencedSOPInstanceUID = "1.2.826.0.1.3"
    made = data_set(InstanceCreatorUID="1.2.826.0.1.9", CodingSchemeUID="1.2.826.0.1.8")
    made.SourceImageSequence = [reference]
    made.AnatomicRegionSequence = [Dataset()]
    made.AnatomicRegionSequence[0].ReferencedSOPInstanceUID = "1.2.826.0.1.3"
    output = deidentify(encode(made))
    after = read(output.data)
    assert after.CodingSchemeUID == "1.2.826.0.1.8"
    assert after.InstanceCreatorUID.startswith("2.25.")
    inner = after.AnatomicRegionSequence[0]
    assert inner.ReferencedSOPInstanceUID == output.sop_instance_uid == after.SOPInstanceUID


def test_numbers_of_a_study_are_the_same_in_all_its_instances() -> None:
    first = read(deidentify(instance(AccessionNumber="A")).data)
    second = read(deidentify(instance(AccessionNumber="", SOPInstanceUID="1.2.9")).data)
    other = read(deidentify(instance(StudyInstanceUID="1.2.826.0.1.77")).data)
    assert first.AccessionNumber == second.AccessionNumber != other.AccessionNumber
    assert first.StudyID == second.StudyID != other.StudyID


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 2) -> Dataset:
    made = Dataset()
    for tag in draw(st.lists(TAGS, max_size=8, unique=True)):
        vr = dictionary_vr(tag) or "LO"
        if vr == "SQ":
            inner = data_sets(depth - 1) if depth else st.just(Dataset())
            made.add_new(tag, vr, draw(st.lists(inner, max_size=2)))
        elif vr in ("OB", "OW", "UN"):
            made.add_new(tag, vr, draw(st.sampled_from([b"", b"Wrzlbrnft\0"])))
        elif vr in ("DS", "IS"):  # pydicom writes numbers only: see NUMBER
            made.add_new(tag, vr, draw(st.sampled_from(["", NUMBER, "7"])))
        elif vr in ("US", "SS", "UL", "FD", "FL"):
            made.add_new(tag, vr, 1)
        else:
            made.add_new(tag, vr, draw(st.sampled_from(["", "Wrzlbrnft", "Wrzlbrnft^Anna", "7"])))
    return made


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data_sets(), st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]))
def test_no_name_comes_out_of_any_data_set(content: Dataset, syntax: str) -> None:
    with config.disable_value_validation():
        content.update(data_set(PatientName="Wrzlbrnft^Anna"))
        data = encode(content, syntax).replace(NUMBER.encode(), b"Wrzlbrnft")
    try:
        output = deidentify(data)
    except Quarantine as reason:
        assert reason.code == "leak"  # noqa: PT017
        return
    assert b"wrzlbrnft" not in output.data.lower()
    assert "rzlbrnft" not in str(output.record.to_dict())
    assert deidentify(data).data == output.data


def test_the_record_tells_paths_and_rules_and_merges_over_a_study() -> None:
    item = Dataset()
    item.ScheduledProcedureStepID = "S7"
    item.RequestedProcedureID = "R7"
    data = instance(InstitutionName="Hospital", RequestAttributesSequence=[item])
    record = deidentify(data).record
    record.merge(deidentify(data).record)
    told = record.to_dict()
    assert told["instances"] == 2
    assert told["codes"] == ["113100", "113107"]
    assert told["profile_digest"] == basic_engine().profile.digest
    changes = {change["path"]: change for change in told["changes"]}
    assert changes["0008,0080"]["count"] == 2
    assert "Table E.1-1" in changes["0008,0080"]["rule"]
    assert sum(told["actions"].values()) == sum(change["count"] for change in told["changes"])
    assert "Hospital" not in str(told)


def test_an_output_can_be_deidentified_again() -> None:
    once = deidentify(instance())
    twice = basic_engine().deidentify(once.data, SUBJECT)
    assert read(twice.data).PatientID == SUBJECT.patient_id
    assert len(read(twice.data).DeidentificationMethodCodeSequence) == 2
