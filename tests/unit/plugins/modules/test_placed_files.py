# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Place = Callable[..., dict[str, Any]]


@pytest.fixture
def place(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> Place:
    """Place directories and files, given as {path below the test's directory: mode or content}."""
    owner = {"owner": str(os.getuid()), "group": str(os.getgid())}

    def run(
        directories: dict[str, str] | None = None,
        files: dict[str, str] | None = None,
        *,
        check: bool = False,
    ) -> dict[str, Any]:
        arguments = {
            **owner,
            "directories": [
                {"path": str(tmp_path / path), "mode": mode}
                for path, mode in (directories or {}).items()
            ],
            "files": [
                {"path": str(tmp_path / path), "content": content}
                for path, content in (files or {}).items()
            ],
        }
        return run_module("placed_files", arguments, check=check)

    return run


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directories_and_files_are_predicted_made_and_left_alone(
    place: Place, tmp_path: Path
) -> None:
    wanted = {"directories": {"conf": "0500", "conf/tls": "0700"}, "files": {"conf/a.conf": "a\n"}}

    predicted = place(**wanted, check=True)
    assert predicted["changed"]
    assert not list(tmp_path.iterdir())

    made = place(**wanted)
    assert made["paths"] == predicted["paths"]
    assert (tmp_path / "conf/a.conf").read_text() == "a\n"
    assert [mode(tmp_path / path) for path in ("conf", "conf/tls", "conf/a.conf")] == [
        0o500, 0o700, 0o400,
    ]  # fmt: skip
    assert not place(**wanted)["changed"]
    assert not place(**wanted, check=True)["changed"]


def test_only_what_differs_is_written(place: Place, tmp_path: Path) -> None:
    place(files={"a": "1\n", "b": "1\n"})
    untouched = (tmp_path / "a").stat()

    answer = place(files={"a": "1\n", "b": "2\n"})

    assert answer["paths"] == [str(tmp_path / "b")]
    assert answer["diff"][0]["before"] == "1\n"
    assert answer["diff"][0]["after"] == "2\n"
    assert (tmp_path / "a").stat() == untouched


def test_a_mode_is_corrected_without_writing(place: Place, tmp_path: Path) -> None:
    place(files={"a": "1\n"})
    (tmp_path / "a").chmod(0o444)

    assert place(files={"a": "1\n"}, check=True)["changed"]
    assert mode(tmp_path / "a") == 0o444
    answer = place(files={"a": "1\n"})

    assert answer["diff"][0]["before"] == {"mode": "0444"}
    assert mode(tmp_path / "a") == 0o400


def test_a_failure_names_the_path_and_leaves_no_half_file(place: Place, tmp_path: Path) -> None:
    answer = place(files={"missing/a": "1\n"})

    assert answer["failed"]
    assert str(tmp_path / "missing") in answer["msg"]
    assert not list(tmp_path.rglob("*"))


def test_a_file_where_a_directory_is_wanted_is_an_error(place: Place, tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("mine")

    answer = place(directories={"conf": "0700"})

    assert answer["failed"]
    assert str(tmp_path / "conf") in answer["msg"]
    assert (tmp_path / "conf").read_text() == "mine"
