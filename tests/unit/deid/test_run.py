# SPDX-License-Identifier: GPL-3.0-or-later
"""`orthanc-deid run` over a directory tree."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from orthanc_deid.cli import main

from .instances import instance, read


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "in/a").mkdir(parents=True)
    (tmp_path / "in/b").mkdir()
    (tmp_path / "in/a/1.dcm").write_bytes(instance(SOPInstanceUID="1.2.1"))
    (tmp_path / "in/a/2.dcm").write_bytes(instance(SOPInstanceUID="1.2.2"))
    (tmp_path / "in/b/3").write_bytes(
        instance(StudyInstanceUID="1.2.9", PatientID="PID-2", PatientName="Zwetschge^Ida")
    )
    return tmp_path


def run(tree: Path, *options: str) -> int:
    """A run in this process, unless it is told to use several."""
    return main(["run", str(tree / "in"), str(tree / "out"), "--jobs", "1", *options])


def files(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


def test_the_tree_is_mirrored_and_the_input_left_alone(tree: Path) -> None:
    before = {name: (tree / "in" / name).read_bytes() for name in files(tree / "in")}
    assert run(tree) == 0
    assert files(tree / "out") == ["a/1.dcm", "a/2.dcm", "b/3"]
    assert {name: (tree / "in" / name).read_bytes() for name in files(tree / "in")} == before
    first, third = (read((tree / "out" / name).read_bytes()) for name in ("a/1.dcm", "b/3"))
    assert (first.PatientID, third.PatientID) == ("ANON_ID000001", "ANON_ID000002")


def test_a_second_run_gives_the_same_bytes(tree: Path) -> None:
    assert run(tree) == 0
    once = (tree / "out/a/1.dcm").read_bytes()
    assert run(tree) == 0
    assert (tree / "out/a/1.dcm").read_bytes() == once


def test_bad_files_are_listed_and_the_rest_goes_on(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "in/a/bad.dcm").write_bytes(b"not DICOM at all")
    assert run(tree) == 1
    assert files(tree / "out") == ["a/1.dcm", "a/2.dcm", "b/3"]
    assert "a/bad.dcm: this is not a DICOM file" in capsys.readouterr().err


def test_a_study_goes_out_whole_or_not_at_all(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaking = instance(SOPInstanceUID="1.2.4", Manufacturer="Quillfeather & Sons")
    (tree / "in/a/4.dcm").write_bytes(leaking)
    assert run(tree) == 1
    assert files(tree / "out") == ["b/3"]
    told = capsys.readouterr().err
    assert "a/1.dcm: its study is held back" in told
    assert "uillfeather" not in told


def test_identifiers_of_one_instance_are_looked_for_in_the_others(tree: Path) -> None:
    (tree / "in/a/4.dcm").write_bytes(
        instance(SOPInstanceUID="1.2.4", OperatorsName="Brackenridge^Alma")
    )
    (tree / "in/a/2.dcm").write_bytes(instance(SOPInstanceUID="1.2.2", Manufacturer="Brackenridge"))
    assert run(tree) == 1
    assert files(tree / "out") == ["b/3"]


def test_paths_that_tell_the_patient_are_renamed(tree: Path) -> None:
    (tree / "in/Quillfeather_Ottoline").mkdir()
    (tree / "in/a/1.dcm").rename(tree / "in/Quillfeather_Ottoline/1.2.1.dcm")
    assert run(tree) == 0
    told = files(tree / "out")
    assert not any("uillfeather" in name or "1.2.1." in name for name in told)
    assert any(name.startswith("ANON_ID000001/2.25.") for name in told)


def test_secret_and_crosswalk_are_private_and_outside_the_output(tree: Path) -> None:
    assert run(tree) == 0
    for name in ("uid.key", "crosswalk.sqlite"):
        mode = (tree / "data/orthanc-deid" / name).stat().st_mode
        assert stat.S_IMODE(mode) == 0o600
    for option in ("--secret-file", "--crosswalk"):
        inside = str(tree / "out/x")
        value = f"sqlite:///{inside}" if option == "--crosswalk" else inside
        assert run(tree, option, value) == 2
    assert not (tree / "out/x").exists()


def test_input_and_output_may_not_lie_in_one_another(tree: Path) -> None:
    assert main(["run", str(tree / "in"), str(tree / "in/a")]) == 2
    assert main(["run", str(tree / "in/a"), str(tree / "in")]) == 2
    assert files(tree / "in") == ["a/1.dcm", "a/2.dcm", "b/3"]


def test_nothing_half_written_stays_when_the_disk_refuses(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        (tree / "data/orthanc-deid").mkdir(parents=True)
        (tree / "data/orthanc-deid/uid.key").write_text("x" * 40)
        assert run(tree) == 1
    assert files(tree / "out") == []
    assert run(tree) == 0


def test_the_mapping_holds_every_uid_and_patient_of_what_was_written(tree: Path) -> None:
    (tree / "in/a/1.dcm").write_bytes(
        instance(SOPInstanceUID="1.2.1", FrameOfReferenceUID="1.2.826.0.5")
    )
    (tree / "in/b/3").write_bytes(b"not DICOM at all")
    assert run(tree, "--mapping", str(tree / "map")) == 1
    uids = dict(line.split(",") for line in (tree / "map/uid_mapping.csv").read_text().split())
    after = read((tree / "out/a/1.dcm").read_bytes())
    assert uids["id_old"] == "id_new"
    assert uids["1.2.1"] == after.SOPInstanceUID
    assert uids["1.2.826.0.1.1"] == after.StudyInstanceUID
    assert uids["1.2.826.0.1.2"] == after.SeriesInstanceUID
    assert uids["1.2.826.0.5"] == after.FrameOfReferenceUID
    assert "1.2.9" not in uids
    patients = (tree / "map/patid_mapping.csv").read_text().split()
    assert patients == ["id_old,id_new", "PID-84213,ANON_ID000001"]
    assert stat.S_IMODE((tree / "map/uid_mapping.csv").stat().st_mode) == 0o600
    assert run(tree, "--mapping", str(tree / "out/map")) == 2
