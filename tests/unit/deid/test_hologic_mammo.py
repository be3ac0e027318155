# SPDX-License-Identifier: GPL-3.0-or-later
"""The profile `hologic_mammo`, and dates that are kept, over a tree of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from orthanc_deid.cli import main
from orthanc_deid.profile import load_profile

from .instances import instance, read

FULL_DATES, MODIFIED_DATES = "113106", "113107"


def procedure(code: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "L", meaning
    return item


def run(tmp_path: Path, *options: str, beside: bytes = b"", **attributes: Any) -> Dataset:
    (tmp_path / "in").mkdir()
    if beside:
        (tmp_path / "in/2.dcm").write_bytes(beside)
    (tmp_path / "in/1.dcm").write_bytes(instance(StudyDate="20240131", **attributes))
    places = ("--secret-file", str(tmp_path / "key"), "--crosswalk", f"sqlite:///{tmp_path}/c.db")
    assert main(["run", str(tmp_path / "in"), str(tmp_path / "out"), *places, *options]) == 0
    return read((tmp_path / "out/1.dcm").read_bytes())


@pytest.mark.parametrize(
    ("attributes", "pseudonym"),
    [
        ({"StudyDescription": "MAMMO SCREENING"}, "ANON_ID000001s_2d"),
        (
            {"StudyDescription": "MAMMO SCRN", "SeriesDescription": "L CC C-View"},
            "ANON_ID000001s_n2d",
        ),
        ({"ProcedureCodeSequence": [procedure("M1", "Screening bilateral")]}, "ANON_ID000001s_2d"),
        ({"SeriesDescription": "R MLO Tomosynthesis"}, "ANON_ID000001d_n2d"),
        ({}, "ANON_ID000001d_2d"),
    ],
)
def test_screening_and_tomosynthesis_follow_the_number(
    tmp_path: Path, attributes: dict[str, Any], pseudonym: str
) -> None:
    after = run(tmp_path, "--profile", "hologic_mammo", **attributes)
    assert after.PatientID == pseudonym
    assert after.PatientName == pseudonym.replace("_ID", "^ID", 1) + "^^^"


def test_any_series_of_the_study_may_decide(tmp_path: Path) -> None:
    other = instance(SOPInstanceUID="1.2.1", SeriesInstanceUID="1.2.7", SeriesDescription="tomo")
    after = run(tmp_path, "--profile", "hologic_mammo", beside=other)
    assert after.PatientID == "ANON_ID000001d_n2d"


def test_the_procedure_code_stays(tmp_path: Path) -> None:
    codes = [procedure("MAMSCR", "Mammogram screening bilateral")]
    after = run(tmp_path, "--profile", "hologic_mammo", ProcedureCodeSequence=codes)
    assert after.ProcedureCodeSequence[0].CodeValue == "MAMSCR"
    assert after.ProcedureCodeSequence[0].CodeMeaning == "Mammogram screening bilateral"


@pytest.mark.parametrize("profile", ["basic", "research", "full_dates"])
def test_kept_dates_are_what_they_were_and_the_output_says_so(tmp_path: Path, profile: str) -> None:
    after = run(tmp_path, "--profile", profile, "--keep-dates")
    codes = {item.CodeValue for item in after.DeidentificationMethodCodeSequence}
    assert after.StudyDate == "20240131"
    assert after.LongitudinalTemporalInformationModified == "UNMODIFIED"
    assert FULL_DATES in codes
    assert MODIFIED_DATES not in codes


def test_without_the_flag_dates_move(tmp_path: Path) -> None:
    after = run(tmp_path)
    assert after.StudyDate != "20240131"
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"


def test_what_tells_kinds_of_studies_apart_is_part_of_what_a_profile_decides() -> None:
    rule = {"modifier": "s", "where": [{"StudyDescription": "screen"}]}
    assert load_profile({}).digest != load_profile({"number_modifiers": [rule]}).digest
