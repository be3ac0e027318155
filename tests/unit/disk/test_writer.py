"""Files appear whole and once, and what is in the way is told."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import disk_tree
from disk_writer import Result, Study, Tree, TreeProblemError

from .conftest import Files

STUDY = "1_50/7/DEMO/20240102101112CT"


def write(tree: Tree, files: Files, study: Study, recorded: str | None = None) -> Result:
    return tree.write(tree.plan(study, recorded), files.data.__getitem__)


def names(tree: Tree, pattern: str = "*.dcm") -> list[str]:
    return sorted(str(path.relative_to(tree.root)) for path in tree.root.rglob(pattern))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_study_is_written_with_the_bytes_that_orthanc_holds(tree: Tree, files: Files) -> None:
    result = write(tree, files, files.study())
    assert result == Result(STUDY, 2, 2, 2)
    assert names(tree) == [
        f"{STUDY}/DicomData/s000003 Axial/i000001_2.25.1.dcm",
        f"{STUDY}/DicomData/s000003 Axial/i000002_2.25.2.dcm",
    ]
    assert (tree.root / names(tree)[1]).read_bytes() == files.data["2.25.2"]
    assert {p.name for p in (tree.root / STUDY).iterdir()} == {"DicomData", "RawData", "Analysis"}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_are_those_configured_whatever_the_umask(
    tree: Tree, files: Files, umask: int
) -> None:
    tree = dataclasses.replace(tree, file_mode=0o664, directory_mode=0o755)
    before = os.umask(umask)
    try:
        write(tree, files, files.study())
    finally:
        os.umask(before)
    assert mode(tree.root / names(tree)[0]) == 0o664
    assert mode(tree.root / STUDY / "DicomData") == 0o755
    assert mode(tree.root / STUDY / "RawData") == 0o755
    assert mode(tree.root / STUDY / "Analysis") == 0o2755


def test_writing_again_changes_nothing(tree: Tree, files: Files) -> None:
    study = files.study()
    write(tree, files, study)
    before = {name: (tree.root / name).stat() for name in names(tree)}
    assert write(tree, files, study) == Result(STUDY, 2, 2, 0)
    after = {name: (tree.root / name).stat() for name in names(tree)}
    assert [(s.st_ino, s.st_mtime_ns) for s in before.values()] == [
        (s.st_ino, s.st_mtime_ns) for s in after.values()
    ]


def test_looking_writes_nothing(tree: Tree, files: Files) -> None:
    planned = tree.plan(files.study())
    assert tree.look(planned) == Result(STUDY, 2)
    assert list(tree.root.iterdir()) == []
    tree.write(planned, files.data.__getitem__)
    (tree.root / names(tree)[0]).unlink()
    assert tree.look(planned) == Result(STUDY, 2, 1)


def test_a_different_file_of_the_same_name_is_kept_and_reported(tree: Tree, files: Files) -> None:
    study = files.study()
    write(tree, files, study)
    path = tree.root / names(tree)[0]
    other = path.read_bytes()[:-1] + b"X"
    path.write_bytes(other)
    result = write(tree, files, study)
    assert (result.present, result.written) == (1, 0)
    assert "different file" in result.failed[0]["reason"]
    assert path.read_bytes() == other


def test_an_instance_that_is_not_marked_is_never_written(tree: Tree, files: Files) -> None:
    result = write(
        tree, files, files.study("1.2.1", files.series("1.2.1", "1.2.3", 1, marked=False))
    )
    assert (result.present, len(result.failed)) == (0, 1)
    assert names(tree, "*.dcm") == []


def test_series_of_the_same_name_do_not_merge(tree: Tree, files: Files) -> None:
    first = files.series("1.2.1", "1.2.9", SeriesDescription="a/b")
    second = files.series("1.2.1", "1.2.5", SeriesDescription="a:b")
    write(tree, files, files.study("1.2.1", first))
    both = files.study("1.2.1", first, second)
    assert write(tree, files, both) == Result(STUDY, 4, 4, 2)
    assert {name.split("/")[5] for name in names(tree)} == {
        "s000003 a_b",
        disk_tree.marked("s000003 a_b", "1.2.5"),
    }
    assert write(tree, files, both).written == 0


def test_series_of_the_same_name_that_come_together_do_not_merge(tree: Tree, files: Files) -> None:
    both = files.study("1.2.1", files.series("1.2.1", "1.2.9"), files.series("1.2.1", "1.2.5"))
    write(tree, files, both)
    assert len({name.split("/")[5] for name in names(tree)}) == 2


def test_studies_of_the_same_name_do_not_merge(tree: Tree, files: Files) -> None:
    one, two = files.study("1.2.1", StudyTime=""), files.study("1.2.2", StudyTime="")
    folders = [write(tree, files, study).folder for study in (one, two, one, two)]
    assert folders[0] == "1_50/7/DEMO/20240102000000CT"
    assert folders[1] == disk_tree.marked(folders[0], "1.2.2")
    assert folders[2:] == folders[:2]
    assert len(names(tree)) == 4


def test_a_recorded_folder_stays_when_a_later_series_changes_the_modality(
    tree: Tree, files: Files
) -> None:
    report = files.series("1.2.1", "1.2.8", 1, Modality="SR")
    folder = write(tree, files, files.study("1.2.1", report)).folder
    assert folder.endswith("SR")
    later = files.study("1.2.1", report, files.series("1.2.1", "1.2.9"))
    assert write(tree, files, later, folder) == Result(folder, 3, 3, 2)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_stops_all_leaves_no_part_and_loses_nothing(
    tree: Tree, files: Files, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    study = files.study("1.2.1", files.series("1.2.1", "1.2.3", 5))
    synced = []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) > 11:
            raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TreeProblemError, match="Writing resumes by itself") as caught:
            write(tree, files, study)
    assert caught.value.stops_all
    written = caught.value.result.written
    assert 0 < written < 5
    assert len(names(tree)) == written
    assert names(tree, ".*.part") == []
    assert write(tree, files, study) == Result(STUDY, 5, 5, 5 - written)


def test_a_folder_that_may_not_be_written_stops_its_study_only(
    tree: Tree, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", denied)
        with pytest.raises(TreeProblemError, match="set owner, group") as caught:
            write(tree, files, files.study())
    assert not caught.value.stops_all


def test_a_root_that_is_not_there_is_not_made(tree: Tree, files: Files) -> None:
    tree.root.rmdir()
    with pytest.raises(TreeProblemError, match="is not there; mount it") as caught:
        write(tree, files, files.study())
    assert caught.value.stops_all
    assert not tree.root.exists()


def test_a_file_where_a_folder_belongs_is_left_alone(tree: Tree, files: Files) -> None:
    (tree.root / "1_50").write_text("mine")
    with pytest.raises(TreeProblemError) as caught:
        write(tree, files, files.study())
    assert not caught.value.stops_all
    assert (tree.root / "1_50").read_text() == "mine"


def test_leftovers_of_a_killed_process_go_when_the_series_is_written(
    tree: Tree, files: Files
) -> None:
    study = files.study()
    write(tree, files, study)
    folder = (tree.root / names(tree)[0]).parent
    (folder / ".orthanc-0011223344556677.part").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    write(tree, files, study)
    assert sorted(path.suffix for path in folder.iterdir()) == [".dcm", ".dcm", ".txt"]


def test_names_are_utf_8_on_the_disk_without_a_locale(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from disk_tree import *
        from disk_writer import *
        tree = Tree(Path(sys.argv[1]), parse_template(DEFAULT_TEMPLATE, DEFAULT_PSEUDONYM))
        series = Series({"SeriesInstanceUID": "1.2", "SeriesDescription": "Sch\\u00e4del"},
                        (Instance("x", 1, {"SOPInstanceUID": "1.2.3"}),))
        study = Study("s", {"StudyInstanceUID": "1.1", "PatientName": "D^ID1"}, (series,))
        planned = tree.plan(study)
        tree._make_folders(planned[0].path)
    """)
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=True,
        env={
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "LC_ALL": "C",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONUTF8": "0",
        },
    )
    assert [path.name for path in tmp_path.glob("*/*/*/*/DicomData/*")] == ["s000000 Schädel"]
