# SPDX-License-Identifier: GPL-3.0-or-later
"""Each option of PS3.15 Annex E does what its column of Table E.1-1 says, and is claimed."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest
from pydicom.dataset import Dataset

from orthanc_deid.cli import main
from orthanc_deid.dictionary import dictionary_vr, profile_table
from orthanc_deid.engine import Engine
from orthanc_deid.errors import ProfileError
from orthanc_deid.identity import read_identity
from orthanc_deid.profile import load_profile
from orthanc_deid.rules import OPTIONS, OWN_ATTRIBUTES

from .instances import KEYS, SUBJECT, data_set, deidentify, encode, instance, read

VALUES = {
    **dict.fromkeys(("DA", "DT"), "20040119"),
    **dict.fromkeys(("DS", "IS"), "31"),
    **dict.fromkeys(("OB", "OW", "UN"), b"cardia"),
    "AS": "044Y",
    "TM": "101112",
    "UI": "1.2.826.0.1.55",
    "US": 31,
    "CS": "HEART",
}


@cache
def engine(*options: str) -> Engine:
    return Engine(load_profile({"name": "options", "options": list(options)}), KEYS)


def kept_by(option: str) -> list[tuple[int, str]]:
    column = OPTIONS[option].column
    rows = profile_table()["rows"].items()
    tags = [int(tag, 16) for tag, row in rows if row[4].get(column) == "K" and tag >= "0008"]
    return [(tag, dictionary_vr(tag) or "UN") for tag in tags if tag not in OWN_ATTRIBUTES]


@pytest.mark.parametrize(
    "option",
    [
        "retain_uids",
        "retain_device_identity",
        "retain_institution_identity",
        "retain_patient_characteristics",
        "retain_full_dates",
    ],
)
def test_what_an_option_retains_stays_and_goes_without_it(option: str) -> None:
    made = data_set()
    tags = kept_by(option)
    assert len(tags) >= 10
    for tag, vr in tags:
        item = Dataset()
        item.CodeMeaning = "heart"
        value = [item] if vr == "SQ" else VALUES.get(vr, "heart")
        made.add_new(tag, vr, "-0500" if tag == 0x00080201 else value)  # Timezone Offset From UTC
    data = encode(made)
    without, with_option = (read(deidentify(data, e).data) for e in (engine(), engine(option)))
    for tag, vr in tags:
        assert with_option[tag] == made[tag], hex(tag)
        assert vr == "SQ" or tag not in without or without[tag].value != made[tag].value, hex(tag)
    codes = [item.CodeValue for item in with_option.DeidentificationMethodCodeSequence]
    assert codes == sorted(["113100", OPTIONS[option].code])


def test_without_an_option_for_dates_they_go() -> None:
    after = read(
        deidentify(instance(StudyDate="20240101", AcquisitionDate="20240101"), engine()).data
    )
    assert after.StudyDate == ""
    assert "AcquisitionDate" not in after
    assert after.LongitudinalTemporalInformationModified == "REMOVED"


def test_full_dates_stay_and_say_so_but_what_is_no_date_goes() -> None:
    after = read(
        deidentify(
            instance(StudyDate="20240101", ContentDate="Doe"), engine("retain_full_dates")
        ).data
    )
    assert after.StudyDate == "20240101"
    assert after.get("ContentDate", "") == ""
    assert after.LongitudinalTemporalInformationModified == "UNMODIFIED"


def test_full_and_modified_dates_exclude_each_other() -> None:
    with pytest.raises(ProfileError, match="exclude each other"):
        load_profile({"options": ["retain_full_dates", "retain_modified_dates"]})


@pytest.mark.parametrize(
    ("age", "told"), [("089Y", "089Y"), ("090Y", "090Y"), ("104Y", "090Y"), ("011M", "011M")]
)
def test_ages_over_89_are_told_as_90(age: str, told: str) -> None:
    data = instance(PatientAge=age)
    after = read(deidentify(data, engine("retain_patient_characteristics")).data)
    assert after.PatientAge == told


def test_retained_uids_are_the_old_ones_everywhere() -> None:
    output = deidentify(instance(FrameOfReferenceUID="1.2.826.0.9"), engine("retain_uids"))
    after = read(output.data)
    assert after.SOPInstanceUID == output.sop_instance_uid == "1.2.826.0.1.3"
    assert after.file_meta.MediaStorageSOPInstanceUID == "1.2.826.0.1.3"
    assert after.FrameOfReferenceUID == "1.2.826.0.9"


def test_descriptors_keep_their_medicine_and_lose_people() -> None:
    item = Dataset()
    item.ScheduledProcedureStepDescription = "CT chest for Quillfeather"
    item.RequestedProcedureID = "REQ-77123"
    data = instance(
        StudyDescription="CT CHEST WITH CONTRAST",
        SeriesDescription="Ottoline Quillfeather axial 5mm",
        ProtocolName="Thorax, Dr. Brackenridge",
        OperatorsName="Brackenridge^Alma",
        RequestAttributesSequence=[item],
    )
    output = deidentify(data, engine("clean_descriptors", "retain_modified_dates"))
    after = read(output.data)
    assert after.StudyDescription == "CT CHEST WITH CONTRAST"
    assert "axial 5mm" in after.SeriesDescription
    assert "uillfeather" not in str(after)
    assert "Brackenridge" not in str(after)
    assert "RequestedProcedureID" not in after.RequestAttributesSequence[0]
    assert "chest" in after.RequestAttributesSequence[0].ScheduledProcedureStepDescription
    told = output.record.to_dict()["cleaned"]
    assert {"path": "0008,103E", "kind": "name", "count": 1} in told
    assert "uillfeather" not in str(output.record.to_dict())


def test_names_from_other_instances_of_the_study_are_cleaned_too() -> None:
    other = read_identity(instance(OperatorsName="Brackenridge^Alma"))
    data = instance(SeriesDescription="axial Brackenridge")
    output = engine("clean_descriptors").deidentify(data, SUBJECT, other.identifiers, other.known)
    assert read(output.data).SeriesDescription.strip() == "axial"


@pytest.mark.parametrize(
    ("attribute", "told"),
    [
        ("PatientName", "is written by the engine"),
        ("StudyDate", "moved by the subject's days"),
        ("InstitutionName", "is removed"),
        ("ActualHumanPerformersSequence/CodeMeaning", "is removed with its items"),
        ("ContentSequence", "each content item treated by its concept name (Table E.3.4-1)"),
        ("ContentSequence/TextValue", "as Table E.3.4-1 says for the concept name"),
        ("GraphicAnnotationSequence/TextObjectSequence", "attribute by attribute"),
        ("EncapsulatedDocument", "holds its study back"),
        ("EncryptedAttributesSequence", "is removed"),
        ("0008,0070", "stays"),
    ],
)
def test_explain_says_what_happens_and_why(
    attribute: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", attribute, "--sop-class", "CT"]) == 0
    assert told in capsys.readouterr().out


def test_explain_without_attributes_tells_of_the_whole_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 650


def test_explain_ends_quietly_where_its_reader_has_seen_enough() -> None:
    program = "import sys; from orthanc_deid.cli import main; sys.exit(main(['explain']))"
    told = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert told.stdout
    assert told.stderr
    told.stdout.readline()
    told.stdout.close()
    assert told.stderr.read() == b""
    assert told.wait() == 0


def test_explain_names_the_nearest_of_a_wrong_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "PatientNme"]) == 2
    assert "PatientName" in capsys.readouterr().err
