# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., dict[str, Any]]
GIVEN = "Fr4ctionOfALargeSecret"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "phi/secrets"


@pytest.fixture
def make(run_module: Callable[..., dict[str, Any]], directory: Path) -> Make:
    def run(secrets: dict[str, str], *, check: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {"path": str(directory), "secrets": secrets, **options}
        return run_module("secret_files", arguments, check=check)

    return run


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_that_is_not_given_is_made_and_kept_for_root_alone(
    make: Make, directory: Path
) -> None:
    answer = make({"admin": "", "service": ""})

    assert answer["changed"]
    assert answer["made"] == ["admin", "service"]
    assert answer["secrets"]["admin"] != answer["secrets"]["service"]
    assert (directory / "admin").read_text() == answer["secrets"]["admin"] + "\n"
    assert mode(directory / "admin") == 0o400
    assert mode(directory) == 0o700


@pytest.mark.parametrize("length", [12, 64])
def test_a_made_secret_survives_every_loader_and_connection_string(make: Make, length: int) -> None:
    secrets = make({f"account{number}": "" for number in range(20)}, length=length)["secrets"]

    assert all(
        re.fullmatch(rf"[A-Za-z][A-Za-z0-9]{{{length - 1}}}", text) for text in secrets.values()
    )
    assert len(set(secrets.values())) == 20


def test_a_second_run_keeps_every_secret(make: Make, directory: Path) -> None:
    first = make({"admin": ""})
    written = (directory / "admin").stat()

    second = make({"admin": ""})

    assert not second["changed"]
    assert second["made"] == []
    assert second["secrets"] == first["secrets"]
    assert (directory / "admin").stat().st_mtime_ns == written.st_mtime_ns


def test_a_given_secret_replaces_the_made_one_and_is_then_left_alone(
    make: Make, directory: Path
) -> None:
    make({"admin": "", "service": ""})

    answer = make({"admin": GIVEN, "service": ""})

    assert answer["made"] == ["admin"]
    assert (directory / "admin").read_text() == GIVEN + "\n"
    assert not make({"admin": GIVEN, "service": ""})["changed"]


def test_a_secret_that_is_no_longer_given_stays(make: Make) -> None:
    make({"admin": GIVEN})

    assert make({"admin": ""})["secrets"] == {"admin": GIVEN}


@pytest.mark.parametrize(
    "unsafe", ["short", "1234567890abcdef", "with space and $", "x" * 129, "pass:word@host"]
)
def test_a_given_secret_that_a_loader_would_change_is_refused_without_being_shown(
    make: Make, directory: Path, unsafe: str
) -> None:
    answer = make({"admin": unsafe, "service": ""})

    assert answer["failed"]
    assert "admin" in answer["msg"]
    assert "service" not in answer["msg"]
    assert unsafe not in answer["msg"]
    assert not directory.exists()


def test_check_mode_makes_nothing_and_says_what_would_be_made(make: Make, directory: Path) -> None:
    answer = make({"admin": "", "service": GIVEN}, check=True)

    assert answer["changed"]
    assert answer["made"] == ["admin", "service"]
    assert answer["secrets"] == {"admin": "made-on-the-first-run", "service": GIVEN}
    assert not directory.exists()


def test_check_mode_knows_the_secrets_that_are_there(make: Make) -> None:
    made = make({"admin": ""})

    answer = make({"admin": ""}, check=True)

    assert not answer["changed"]
    assert answer["secrets"] == made["secrets"]


def test_a_directory_that_others_can_read_is_closed(make: Make, directory: Path) -> None:
    make({"admin": ""})
    directory.chmod(0o755)

    answer = make({"admin": ""})

    assert answer["changed"]
    assert mode(directory) == 0o700


def test_check_mode_foresees_that_a_directory_is_closed(make: Make, directory: Path) -> None:
    make({"admin": ""})
    directory.chmod(0o755)

    assert make({"admin": ""}, check=True)["changed"]
    assert mode(directory) == 0o755


def test_a_file_that_others_can_read_is_closed(make: Make, directory: Path) -> None:
    make({"admin": ""})
    (directory / "admin").chmod(0o644)

    answer = make({"admin": ""})

    assert answer["changed"]
    assert answer["made"] == []
    assert mode(directory / "admin") == 0o400


def test_no_part_of_a_secret_is_left_beside_the_files(make: Make, directory: Path) -> None:
    make({"admin": "", "service": ""})

    assert sorted(path.name for path in directory.iterdir()) == ["admin", "service"]


@pytest.mark.parametrize("name", ["../admin", "a/b", "", "."])
def test_a_name_that_leads_out_of_the_directory_is_refused(make: Make, name: str) -> None:
    answer = make({name: ""})

    assert answer["failed"]
    assert repr(name) in answer["msg"]


def test_a_length_that_could_be_guessed_is_refused(make: Make) -> None:
    answer = make({"admin": ""}, length=8)

    assert answer["failed"]
    assert "12" in answer["msg"]


def test_secrets_are_made_anew_when_asked_for_but_not_those_that_are_kept_or_given(
    make: Make,
) -> None:
    wanted = {"service": "", "uid_key": "", "given": GIVEN}
    before = make(wanted)["secrets"]

    answer = make(wanted, renew=True, keep=["uid_key"])
    assert answer["made"] == ["service"]
    assert answer["secrets"]["service"] != before["service"]
    assert answer["secrets"]["uid_key"] == before["uid_key"]
    assert answer["secrets"]["given"] == GIVEN


def test_making_anew_is_only_predicted_in_check_mode(make: Make, directory: Path) -> None:
    before = make({"service": ""})["secrets"]["service"]

    assert make({"service": ""}, renew=True, check=True)["changed"]
    assert (directory / "service").read_text().strip() == before
