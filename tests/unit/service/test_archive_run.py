# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs over larger trees: many processes, kills, and trees that change between two runs."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orthanc_deid.cli import main

from .trees import INSTANCES, STUDIES, content, instance, make_tree


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    make_tree(tmp_path / "in")
    return tmp_path


def run(tree: Path, out: str, *options: str) -> int:
    return main(["run", str(tree / "in"), str(tree / out), *options])


def begin(tree: Path, out: str, *options: str) -> subprocess.Popen[bytes]:
    """Start a run in a process group of its own, which can be killed whole."""
    command = [sys.executable, "-m", "orthanc_deid", "run", tree / "in", tree / out, *options]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)


def done_studies(tree: Path) -> int:
    try:
        with sqlite3.connect(tree / "data/orthanc-deid/crosswalk.sqlite") as database:
            query = "SELECT count(*) FROM archive_studies WHERE state = 'done'"
            return int(database.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # not made yet
        return 0


def test_many_processes_write_the_same_bytes_as_one(tree: Path) -> None:
    assert run(tree, "one", "--jobs", "1") == 0
    assert run(tree, "many", "--jobs", "3") == 0
    assert len(content(tree / "one")) == STUDIES * INSTANCES
    assert content(tree / "many") == content(tree / "one")


def test_a_run_that_was_killed_goes_on_where_it_was(tree: Path) -> None:
    assert run(tree, "whole", "--jobs", "1") == 0
    begun = done_studies(tree)
    killed = begin(tree, "out", "--jobs", "2")
    deadline = time.monotonic() + 120
    while done_studies(tree) < begun + 2 and killed.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    first = {
        name: (tree / "out" / name).stat().st_ino
        for name in content(tree / "out")
        if not name.startswith(".orthanc-deid-")
    }
    done = done_studies(tree) - begun
    assert done >= 2
    assert run(tree, "out", "--jobs", "1") == 0
    assert content(tree / "out") == content(tree / "whole")
    # What was done is not done again.
    same = sum((tree / "out" / name).stat().st_ino == inode for name, inode in first.items())
    assert same >= done * INSTANCES


def test_only_what_is_new_or_changed_or_lost_is_done_again(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tree, "out", "--jobs", "1") == 0
    before = content(tree / "out")
    times = {name: (tree / "out" / name).stat().st_ctime_ns for name in before}
    (tree / "in/new.dcm").write_bytes(instance(1, 99, patient=0))
    (tree / "out/0/001.dcm").unlink()  # of the last study
    assert run(tree, "out", "--jobs", "1") == 0
    after = content(tree / "out")
    assert after.keys() == before.keys() | {"new.dcm"}
    changed = {n for n in before if (tree / "out" / n).stat().st_ctime_ns != times[n]}
    assert changed == {f"{n}/{s}.dcm" for n in range(INSTANCES) for s in ("001", "012")}
    assert f"{STUDIES * INSTANCES + 1} instances written" in capsys.readouterr().err


def test_all_is_done_again_where_that_is_asked_for(tree: Path) -> None:
    assert run(tree, "out", "--jobs", "1") == 0
    inode = (tree / "out/0/001.dcm").stat().st_ino
    assert run(tree, "out", "--jobs", "1", "--again") == 0
    assert (tree / "out/0/001.dcm").stat().st_ino != inode


def test_two_runs_do_not_write_to_one_directory(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import fcntl  # noqa: PLC0415 - for this test

    (tree / "out").mkdir()
    descriptor = os.open(tree / "out", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert run(tree, "out", "--jobs", "1") == 2
    finally:
        os.close(descriptor)
    assert "another run writes to OUT_DIR" in capsys.readouterr().err


def test_sharing_the_work_needs_a_database_and_a_secret_that_others_have_too(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tree, "out", "--enqueue") == 2
    assert "--secret-file" in capsys.readouterr().err
    (tree / "uid.key").write_text("x" * 40)
    assert run(tree, "out", "--enqueue", "--secret-file", str(tree / "uid.key")) == 2
    assert "--crosswalk postgresql://" in capsys.readouterr().err
