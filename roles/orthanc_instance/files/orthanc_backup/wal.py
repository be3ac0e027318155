# SPDX-License-Identifier: GPL-3.0-or-later
"""Every change in an archive, by pgBackRest in PostgreSQL's container, to go back to any moment."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from orthanc_backup.config import Config
from orthanc_backup.errors import BackupError
from orthanc_backup.postgres import Server
from orthanc_backup.running import pipe, program
from orthanc_backup.storage import differences

SETTINGS = "--config=/etc/postgresql/pgbackrest.conf"
STANZA = "--stanza=main"
FULL_EVERY = timedelta(days=6, hours=12)
OVERDUE = timedelta(hours=50)
SECONDS_TO_REACH = 3600
UNFINISHED = ".restoring"
ARCHIVER = """
SELECT count(*) FROM pg_stat_archiver
 WHERE last_failed_time > coalesce(last_archived_time, '-infinity');
"""


def begin(config: Config) -> Iterator[str]:
    """Make the archive of the running server, and its first base backup, where they are missing."""
    told = _stanza(config)
    if not told or told["status"]["code"] not in (0, 2):  # 2: no base backup yet
        try:
            _pgbackrest(config, "stanza-create")
        except BackupError:  # it is of a server that was made anew, or of another major version
            _pgbackrest(config, "stanza-upgrade")
        yield f"The archive of {config.server} was begun in {config.wal_directory}."
    if _last(config) is None:
        yield from base(config)


def base(config: Config) -> Iterator[str]:
    """Make a base backup: a full one each week, and between them what has changed since."""
    full = _last(config, "full")
    young = full is not None and datetime.now(timezone.utc) - full < FULL_EVERY
    kind = "diff" if young else "full"
    _pgbackrest(config, "backup", f"--type={kind}")
    yield f"A base backup ({kind}) of {config.server} was made."


def complaint(config: Config) -> str:
    """Return what is wrong with the archive, or nothing."""
    if Server(config.server).sql("postgres", ARCHIVER) != [["0"]]:
        return (
            f"{config.server} cannot archive its changes: see docker logs {config.server} and the "
            f"room in {config.wal_directory}. Until then they pile up in {config.pgdata}."
        )
    last = _last(config)
    if last is None or datetime.now(timezone.utc) - last > OVERDUE:
        return f"The last base backup of {config.server} is of {last or 'no time'}: see cron."
    return ""


def restore(config: Config, moment: str) -> Iterator[str]:
    """Put PostgreSQL's files back as they were at a moment; what is there is kept aside.

    The server must not run. An interrupted restore is run again.
    """
    files = config.pgdata / config.postgres_major
    mark = config.pgdata / UNFINISHED
    if files.exists() and not mark.exists():
        kept = files.with_name(f"{files.name}.before-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}")
        files.rename(kept)
        yield f"What was there is kept in {kept}."
    mark.touch()
    pipe(f"{files} cannot be restored to {moment}", _one_off(config, moment))
    mark.unlink()
    yield f"PostgreSQL goes back to {moment}. What came later is not in it."


def reached(config: Config) -> Iterator[str]:
    """Wait until the server has come to the moment and takes changes; tell what is missing."""
    server = Server(config.server)
    deadline = time.monotonic() + SECONDS_TO_REACH
    while not _is_open(server):
        if time.monotonic() > deadline:
            raise BackupError(
                f"{server.container} has not reached the moment within {SECONDS_TO_REACH} seconds: "
                f"see docker logs {server.container}. Was the moment after the last change?"
            )
        time.sleep(1)
    # Later moments are reached from here, not from a base backup of the history that was left.
    yield from base(config)
    yield from differences(server, config.storage)


def _is_open(server: Server) -> bool:
    try:
        return server.sql("postgres", "SELECT pg_is_in_recovery();") == [["f"]]
    except BackupError:
        return False


def timeline(config: Config, moment: str) -> str:
    """Return which of the histories in the archive the server lived at a moment.

    Going back begins a new history and keeps the old one. The moment is one of that which was the
    last to have begun then: PostgreSQL's own choice would be the last of all, which an interrupted
    restore to the same moment may have begun, and which ends there.
    """
    pattern = f"archive/main/{config.postgres_major}-*"
    archives = config.wal_directory.glob(pattern)
    newest = max(archives, key=lambda path: int(path.name.partition("-")[2]), default=None)
    when = _instant(moment).timestamp()
    begun = [
        int(path.stem, 16)
        for path in (newest.glob("*.history") if newest else ())
        if path.stat().st_mtime <= when
    ]
    return str(max(begun)) if begun else "current"  # that of the base backup


def _instant(moment: str) -> datetime:
    """Return a moment as restore.yml takes it; Python before 3.11 reads fewer ways to write it."""
    told = re.fullmatch(r"(.{19})(?:\.(\d+))?([+-]\d\d):?(\d\d)?", moment)
    if not told:
        raise BackupError(f"{moment!r} is no moment: write it as in 2026-01-31 12:17:00+00.")
    second, fraction, hours, minutes = told.groups(default="")
    text = f"{second}.{(fraction or '0')[:6]}{hours}{minutes or '00'}"
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f%z")


def _one_off(config: Config, moment: str) -> list[str]:
    account = f"{config.postgres_uid}:{config.postgres_uid}"
    return [
        program("docker"), "run", "--rm", "--name", f"{config.name}-restore", "--pull", "never",
        "--network", "none", "--read-only", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges:true", "--user", account, "--tmpfs=/tmp",
        "--volume", f"{config.pgdata}:/var/lib/postgresql/data",
        "--volume", f"{config.postgres_settings}:/etc/postgresql:ro",
        "--volume", f"{config.wal_directory}:/var/lib/pgbackrest",
        "--entrypoint", "pgbackrest", config.image, SETTINGS, STANZA, "--delta", "--type=time",
        f"--target={moment}", "--target-action=promote",
        f"--target-timeline={timeline(config, moment)}", "restore",
    ]  # fmt: skip


def _stanza(config: Config) -> Any:
    told = json.loads(_pgbackrest(config, "info", "--output=json"))
    return told[0] if told else None


def _last(config: Config, kind: str = "") -> datetime | None:
    """Return when the last base backup of the running server ended."""
    told = _stanza(config)
    if not told or not told.get("db"):
        return None
    current = max(one["id"] for one in told["db"])
    ends = [
        one["timestamp"]["stop"]
        for one in told["backup"]
        if one["database"]["id"] == current and kind in ("", one["type"])
    ]
    return datetime.fromtimestamp(max(ends), timezone.utc) if ends else None


def _pgbackrest(config: Config, *arguments: str) -> bytes:
    what = f"pgBackRest cannot do its {arguments[0]} in {config.server}"
    return pipe(what, Server(config.server).inside("pgbackrest", SETTINGS, STANZA, *arguments))
