# SPDX-License-Identifier: GPL-3.0-or-later
"""A run over a directory tree that several machines share through the queue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from orthanc_deid.cli import main

from .trees import INSTANCES, STUDIES, content, make_tree

SECONDS = 120


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    make_tree(tmp_path / "in")
    (tmp_path / "uid.key").write_text("a secret of the tests, 32 bytes.")
    return tmp_path


def command(tree: Path, out: str, url: sa.URL, *options: str) -> list[str]:
    return [
        "run", str(tree / "in"), str(tree / out), "--secret-file", str(tree / "uid.key"),
        "--crosswalk", url.render_as_string(hide_password=False), "--jobs", "1", *options,
    ]  # fmt: skip


def machine(tree: Path, url: sa.URL, number: int) -> subprocess.Popen[bytes]:
    """One machine that takes part in the run, killed as a whole; what it says is kept."""
    given = [sys.executable, "-m", "orthanc_deid", *command(tree, "out", url, "--enqueue")]
    with (tree / f"{number}.err").open("wb") as told:
        return subprocess.Popen(given, start_new_session=True, stderr=told)


def done_studies(engine: sa.Engine) -> int:
    query = sa.text("SELECT count(*) FROM archive_studies WHERE state = 'done'")
    with engine.connect() as connection:
        return int(connection.scalar(query) or 0)


def test_machines_share_a_run_and_take_over_what_a_dead_one_left(
    tree: Path, database: sa.URL
) -> None:
    assert main(command(tree, "whole", database)) == 0
    engine = sa.create_engine(database)
    begun = done_studies(engine)
    machines = [machine(tree, database, number) for number in range(3)]
    deadline = time.monotonic() + SECONDS
    while done_studies(engine) < begun + 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(machines[0].pid, signal.SIGKILL)
    ended = [one.wait(SECONDS) for one in machines]
    assert ended == [-signal.SIGKILL, 0, 0], [path.read_text() for path in tree.glob("*.err")]
    assert len(content(tree / "out")) == STUDIES * INSTANCES
    assert content(tree / "out") == content(tree / "whole")
    with engine.connect() as connection:
        left = connection.scalar(sa.text("SELECT count(*) FROM procrastinate_jobs"))
        told = connection.execute(sa.text("SELECT args FROM procrastinate_jobs")).all()
    assert (left, told) == (0, [])
    engine.dispose()
