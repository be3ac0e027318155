# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is told of backups that fail or are missing, and what never."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthanc_backup import mail
from orthanc_backup.config import Config
from orthanc_backup.errors import BackupError, harmless
from orthanc_backup.proof import compare
from orthanc_backup.running import pipe
from orthanc_backup.state import State, complaint, read_state, write_state

NOW = datetime(2026, 1, 31, 12, 17, tzinfo=UTC)


def ago(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat()


def test_a_young_backup_is_no_reason_to_write() -> None:
    assert complaint(State(ago(1), ago(1), "20260131T111700Z", ""), NOW, 3) == ""


def test_an_old_backup_is_told_with_its_age() -> None:
    told = complaint(State(ago(50), ago(50), "20260129T101700Z", ""), NOW, 3)

    assert told == "The last backup is 50 hours old, and 3 are allowed."


def test_a_failure_is_told_also_while_the_last_success_is_young() -> None:
    state = State(ago(0), ago(1), "20260131T111700Z", "orthanc-phi-db is not running.")

    assert "orthanc-phi-db is not running." in complaint(state, NOW, 3)


def test_no_backup_at_all_is_told(tmp_path: Path) -> None:
    assert complaint(read_state(tmp_path), NOW, 3) == "No backup has been made yet."


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = State(ago(0), ago(1), "20260131T111700Z", "why")
    write_state(tmp_path, state)

    assert read_state(tmp_path) == state


def test_a_state_is_told_to_who_may_not_read_the_backups(tmp_path: Path) -> None:
    published = tmp_path / "public/backup.json"
    state = State(ago(0), ago(1), "20260131T111700Z", "")
    write_state(tmp_path, state, published)  # where nobody wants to know
    published.parent.mkdir()

    write_state(tmp_path, state, published)

    assert json.loads(published.read_text()) == asdict(state)
    assert published.stat().st_mode & 0o777 == 0o444


def test_of_what_a_program_says_only_words_without_a_name_are_repeated() -> None:
    told = (
        'pg_restore: error: COPY failed for table "subjects": ERROR: duplicate key\n'
        "DETAIL:  Key (patient_id)=(DOE^JANE) already exists.\n"
        "pg_restore: error: could not read from input file: end of file\n"
    )

    assert harmless(told) == ": could not read from input"


@given(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ^", min_size=6))
def test_a_name_in_what_a_program_says_is_never_repeated(name: str) -> None:
    assert name not in harmless(f"ERROR: {name} No such container: {name}\nDETAIL: {name}")


def test_a_program_that_fails_is_told_by_its_name_and_code() -> None:
    complain = "echo DOE^JANE >&2; echo 'No space left on device' >&2; exit 3"

    with pytest.raises(BackupError) as told:
        pipe("philookup cannot be dumped", ["/bin/sh", "-c", complain], ["/bin/cat"])
    assert str(told.value) == (
        "philookup cannot be dumped: sh ended with exit code 3: No space left on device."
    )


def test_a_pipe_gives_on_what_it_was_given() -> None:
    given = bytes(range(256)) * 4000

    assert pipe("x", ["/bin/cat"], ["/bin/cat"], ["/bin/cat"], given=given) == given


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"public.subjects": (3, "77")}, "public.subjects has 3 rows, not 4"),
        ({"public.subjects": (4, "78")}, "public.subjects has other contents"),
        ({}, "the table public.subjects is missing"),
        ({"public.subjects": (4, "77"), "public.x": (0, "0")}, "public.x was not there"),
    ],
)
def test_a_restored_database_that_differs_is_told(
    found: dict[str, tuple[int, str]], told: str
) -> None:
    with pytest.raises(BackupError, match=told):
        compare("philookup.dump", {"public.subjects": (4, "77")}, found)


def test_a_failure_is_mailed_by_the_hosts_own_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config
) -> None:
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/mail\n')
    sendmail.chmod(0o755)
    monkeypatch.setattr(mail, "PATH", str(tmp_path))

    assert mail.send(config, "The last backup is 50 hours old, and 3 are allowed.")
    message = (tmp_path / "mail").read_text()
    assert "To: radiology-it@example.org" in message
    assert "50 hours old" in message
    assert (tmp_path / "arguments").read_text() == "-t -i\n"


def test_without_a_mail_program_nothing_is_mailed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config
) -> None:
    monkeypatch.setattr(mail, "PATH", str(tmp_path))
    monkeypatch.setattr(mail.shutil, "which", lambda *_, **__: None)

    assert not mail.send(config, "x")
