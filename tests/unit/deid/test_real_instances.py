# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file that comes with pydicom: what must stay stays, and the output is no less valid."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import cache
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from orthanc_deid.actions import Action
from orthanc_deid.engine import Output
from orthanc_deid.errors import Quarantine

from .instances import SUBJECT, basic_engine, deidentify, read, real_instances

BROKEN = ("MR_truncated.dcm", "rtplan_truncated.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm")
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@cache
def outputs() -> dict[str, Output]:
    return {
        name: deidentify(data)
        for name, data in real_instances().items()
        if Path(name).name not in BROKEN
    }


def pairs() -> Iterator[tuple[str, Dataset, Dataset]]:
    warnings.simplefilter("ignore")
    for name, output in outputs().items():
        before = pydicom.dcmread(BytesIO(real_instances()[name]), force=True)
        yield name, before, read(output.data)


@pytest.mark.parametrize("name", [n for n in real_instances() if Path(n).name in BROKEN])
def test_a_broken_file_is_quarantined_with_the_place_where_it_breaks(name: str) -> None:
    with pytest.raises(Quarantine, match=r"at byte \d+ in \([0-9A-F,]+\)"):
        basic_engine().deidentify(real_instances()[name], SUBJECT)


def test_pixels_are_the_same_bytes() -> None:
    compared = 0
    for name, before, after in pairs():
        for keyword in PIXELS:
            if keyword in before:
                assert after[keyword].value == before[keyword].value, name
                compared += 1
    assert compared > 100


def test_what_no_rule_touches_is_the_same() -> None:
    profile = basic_engine().profile
    compared = 0
    for name, before, after in pairs():
        for element in before:
            if element.VR == "SQ" or profile.rule(element.tag, element.VR) is not None:
                continue
            if (
                element.tag in (0x00120062, 0x00120063, 0x00280303)
                or "Group Length" in element.name
            ):
                continue
            assert element.tag in after, f"{name}: {element.tag} is lost"
            assert after[element.tag].value == element.value, f"{name}: {element.tag}"
            compared += 1
    assert compared > 5000


def test_dates_keep_their_intervals() -> None:
    moved = 0
    for name, before, after in pairs():
        for element in before:
            rule = basic_engine().profile.rule(element.tag, element.VR)
            old = _date(element.value) if element.VR == "DA" else None
            if old is not None and rule is not None and rule.code == Action.SHIFT:
                new = _date(after[element.tag].value)
                assert new - old == timedelta(days=SUBJECT.date_offset), f"{name}: {element.tag}"
                moved += 1
    assert moved > 300


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value)) if len(str(value)) == 8 else None
    except ValueError:
        return None


def test_uids_neither_collide_nor_split() -> None:
    new_of: dict[str, set[str]] = {}
    for _, before, after in pairs():
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
            if before.get(keyword):
                new_of.setdefault(before[keyword].value, set()).add(after[keyword].value)
    assert all(len(new) == 1 for new in new_of.values())
    assert len(set.union(*new_of.values())) == len(new_of)
    assert all(UID(uid).is_valid for new in new_of.values() for uid in new)
    assert not new_of.keys() & set.union(*new_of.values())


def test_the_output_of_the_output_changes_only_the_uids_and_dates_again() -> None:
    for name, _, once in pairs():
        twice = read(deidentify(outputs()[name].data).data)
        assert len(twice) == len(once), name
        assert twice.DeidentificationMethod == once.DeidentificationMethod
        assert twice.PatientID == once.PatientID


@cache
def dciodvfy() -> str:
    """The validator of dicom3tools; Debian's package is installed if it is nowhere."""
    if shutil.which("dciodvfy") is None:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["update", "-q"],
            ["install", "-qy", "--no-install-recommends", "dicom3tools"],
        ):
            subprocess.run(["apt-get", *command], check=True, env=environment)
    return str(shutil.which("dciodvfy"))


def test_the_validator_finds_no_error_that_the_input_had_not(tmp_path: Path) -> None:
    def new_errors(numbered: tuple[int, str]) -> tuple[str, Counter[str]]:
        number, name = numbered
        found = []
        for kind, data in (("in", real_instances()[name]), ("out", outputs()[name].data)):
            path = tmp_path / f"{number}.{kind}"
            path.write_bytes(data)
            run = subprocess.run([dciodvfy(), "-new", path], capture_output=True, check=False)
            lines = run.stderr.decode("latin-1").splitlines()
            errors = (line for line in lines if line.startswith("Error"))
            if kind == "in" and any("dataset read failed" in line for line in lines):
                return name, Counter()  # such as a deflated one, which it cannot inflate
            found.append(Counter(re.sub(r"[=<].*?>", "", line) for line in errors))
            path.unlink()
        return name, found[1] - found[0]

    dciodvfy()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        results = list(threads.map(new_errors, enumerate(outputs())))
    assert {name: errors for name, errors in results if errors} == {}
