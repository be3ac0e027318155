# SPDX-License-Identifier: GPL-3.0-or-later
"""The study that the round trip sends is one that any DICOM software reads."""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path

from ansible_collections.imaging.orthanc.plugins.module_utils._test_study import make_study
from pydicom import dcmread

from orthanc_deid.patient import Patient


def test_the_files_are_valid_dicom(tmp_path: Path) -> None:
    for number, content in enumerate(make_study(2).files):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(content)
        found = subprocess.run(
            ["dciodvfy", "-new", path], capture_output=True, text=True, check=False
        ).stderr
        assert [line for line in found.splitlines() if line.startswith("Error")] == []
        dataset = dcmread(BytesIO(content))
        assert dataset.pixel_array.shape == (32, 32)
        assert dataset.QualityControlImage == "YES"


def test_all_that_is_planted_is_in_it_and_no_two_studies_share_a_study_uid() -> None:
    one, other = make_study(1), make_study(1)

    assert [text for text in one.planted if text.encode() not in one.files[0]] == []
    assert len(one.planted) > 15
    assert one.study_instance_uid != other.study_instance_uid
    assert len(set(one.planted) & set(other.planted)) == 2  # the patient's ID and birth date


def test_the_crosswalk_knows_its_patient_as_nobody() -> None:
    dataset = dcmread(BytesIO(make_study(1).files[0]))

    assert Patient(dataset.PatientID, dataset.IssuerOfPatientID).is_of_round_trip
    assert not Patient(dataset.PatientID, "").is_of_round_trip
