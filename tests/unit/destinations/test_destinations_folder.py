# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliveries into a folder: whole files, read back, and each in one place only."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from orthanc_deid import destinations_folder
from orthanc_deid.destination_config import Folder
from orthanc_deid.destinations_folder import LISTS, FolderDestination
from orthanc_deid.disk_tree import DEFAULT_PSEUDONYM, DEFAULT_TEMPLATE, parse_template
from orthanc_deid.orthanc_client import CannotWithdrawError, TransientError

from .conftest import Files, make_files

BY_UID = "<StudyInstanceUID>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm"


def folder(root: Path, template: str = DEFAULT_TEMPLATE) -> FolderDestination:
    root.mkdir(exist_ok=True)
    return FolderDestination("share", Folder(root, parse_template(template, DEFAULT_PSEUDONYM)))


def deliver(destination: FolderDestination, files: Files) -> None:
    destination.deliver(files.study, files.paths, lambda: None)


def written(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and LISTS not in path.parts
    }


def test_a_study_lies_as_in_the_tree_of_disk(files: Files, tmp_path: Path) -> None:
    deliver(folder(tmp_path / "share"), files)
    found = written(tmp_path / "share")
    assert sorted(found.values()) == files.contents()
    study = "1_50/7/DEMO/20190827101112CT/DicomData/"
    assert {name.startswith(study) for name in found} == {True}
    assert {Path(name).name.partition("_")[0] for name in found} == {"i000001", "i000002"}


def test_a_study_may_lie_by_its_uids(files: Files, tmp_path: Path) -> None:
    deliver(folder(tmp_path / "share", BY_UID), files)
    assert {name.split("/")[0] for name in written(tmp_path / "share")} == {files.study}
    assert {Path(name).stem for name in written(tmp_path / "share")} == files.paths.keys()


def test_a_repeat_writes_nothing(files: Files, tmp_path: Path) -> None:
    share = folder(tmp_path / "share")
    deliver(share, files)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "share").rglob("*.dcm")}
    deliver(share, files)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "share").rglob("*.dcm")}


def test_a_file_that_was_damaged_is_written_again(files: Files, tmp_path: Path) -> None:
    share = folder(tmp_path / "share")
    deliver(share, files)
    first, second, *_ = (tmp_path / "share").rglob("*.dcm")
    first.write_bytes(b"\0" * first.stat().st_size)
    second.write_bytes(second.read_bytes()[:-1])
    deliver(share, files)
    assert sorted(written(tmp_path / "share").values()) == files.contents()


def test_files_that_move_leave_no_copy_behind(files: Files, tmp_path: Path) -> None:
    share = folder(tmp_path / "share")
    deliver(share, files)
    late = make_files(tmp_path / "late", ("MR_small.dcm",), each=3)
    for uid, path in late.paths.items():
        dataset = dcmread(path)
        dataset.StudyInstanceUID = files.study
        dataset.save_as(path)
        files.paths[uid] = path
    deliver(share, files)  # it is a study of MR now
    found = written(tmp_path / "share")
    assert sorted(found.values()) == files.contents()
    assert {name.split("/")[3] for name in found} == {"20190827101112MR"}
    assert [path.name for path in (tmp_path / "share/1_50/7/DEMO").iterdir()] == [
        "20190827101112MR"
    ]


def test_two_studies_do_not_disturb_each_other(files: Files, tmp_path: Path) -> None:
    other = make_files(tmp_path / "other", ("CT_small.dcm",))
    share = folder(tmp_path / "share")
    for one in (files, other, files):
        deliver(share, one)
    assert sorted(written(tmp_path / "share").values()) == sorted(
        files.contents() + other.contents()
    )


def test_a_file_that_cannot_be_read_back_is_not_delivered(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rot(target: Path, _source: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"rotten")

    monkeypatch.setattr(destinations_folder, "_write", rot)
    with pytest.raises(TransientError, match="is not as it was written"):
        deliver(folder(tmp_path / "share"), files)


def test_a_folder_that_is_full_gets_the_study_later(files: Files, tmp_path: Path) -> None:
    root = tmp_path / "share"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", root], check=True)
    try:
        with pytest.raises(TransientError, match="No space left on device"):
            deliver(folder(root), files)
        assert not [path for path in root.rglob("*") if path.name.startswith(".part-")]
        subprocess.run(["mount", "-o", "remount,size=4m", "none", root], check=True)
        deliver(folder(root), files)
        assert sorted(written(root).values()) == files.contents()
    finally:
        subprocess.run(["umount", root], check=True)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    destination = folder(tmp_path / "share")
    destination.check()
    (tmp_path / "share").rmdir()
    with pytest.raises(TransientError, match="is not there or cannot be written; is it mounted"):
        destination.check()


def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    files = make_files(tmp_path / "spool", ("CT_small.dcm",), each=1)
    (path,) = files.paths.values()
    dataset = dcmread(path)
    dataset.SeriesDescription = "../../../../../../tmp/out"
    dataset.SeriesInstanceUID = generate_uid()
    dataset.save_as(path)
    deliver(folder(tmp_path / "share"), files)
    assert list(written(tmp_path / "share").values()) == files.contents()


@pytest.mark.parametrize("name", ["../kept.dcm", "/kept.dcm", "a/../../kept.dcm"])
def test_a_list_that_others_changed_removes_nothing_outside(
    files: Files, tmp_path: Path, name: str
) -> None:
    share, kept = folder(tmp_path / "share"), tmp_path / "kept.dcm"
    kept.write_bytes(b"kept")
    deliver(share, files)
    told = tmp_path / "share" / LISTS / f"{files.study}.json"
    told.write_text(json.dumps([str(kept) if name.startswith("/") else name]))
    with pytest.raises(CannotWithdrawError, match="cannot be read"):
        share.withdraw(files.study)
    deliver(share, files)
    assert kept.read_bytes() == b"kept"
    share.withdraw(files.study)
    assert written(tmp_path / "share") == {}
