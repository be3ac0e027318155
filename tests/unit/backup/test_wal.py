# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back to a moment: which of several histories in the archive is followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orthanc_backup.config import Config
from orthanc_backup.errors import BackupError
from orthanc_backup.wal import timeline

NOON = 1_769_774_400  # 2026-01-30 12:00:00 UTC


@pytest.fixture
def archive(config: Config) -> Path:
    """The archive of a server that went back to a moment twice: at one, and at three o'clock."""
    directory = config.wal_directory / "archive/main/17-2"
    directory.mkdir(parents=True)
    for name, hours in {"00000002": 1, "0000000A": 3}.items():
        (directory / f"{name}.history").touch()
        os.utime(directory / f"{name}.history", (NOON + 3600 * hours,) * 2)
    return directory


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-01-30 12:59:59.999999+00", "current"),
        ("2026-01-30 13:00:00+00", "2"),
        ("2026-01-30 14:59:59+00", "2"),
        ("2026-01-30 16:59:59.5+0200", "2"),
        ("2026-01-30 10:30:00-05:30", "10"),
        ("2026-01-30 15:00:00.1234567+00", "10"),
    ],
)
def test_a_moment_is_one_of_the_history_that_the_server_lived_then(
    config: Config, archive: Path, moment: str, expected: str
) -> None:
    assert timeline(config, moment) == expected
    assert archive.exists()


@pytest.mark.usefixtures("archive")
def test_the_histories_of_a_server_before_do_not_count(config: Config) -> None:
    (config.wal_directory / "archive/main/17-10").mkdir()
    (config.wal_directory / "archive/main/15-11").mkdir()
    assert timeline(config, "2026-01-30 15:00:00+00") == "current"


def test_a_word_is_no_moment(config: Config) -> None:
    with pytest.raises(BackupError, match="write it as in"):
        timeline(config, "yesterday")
