# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, as cron and the playbooks call it."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from orthanc_backup import mail, wal
from orthanc_backup.backup_set import BackupSet, open_set
from orthanc_backup.config import Config, read_config
from orthanc_backup.create import create
from orthanc_backup.encryption import Identity
from orthanc_backup.errors import BackupError
from orthanc_backup.move import move, see_that_it_answers
from orthanc_backup.postgres import Server
from orthanc_backup.proof import prove
from orthanc_backup.restore import Restore
from orthanc_backup.secret_archive import check_keys, place_secrets, unpack
from orthanc_backup.state import State, complaint, read_state, write_state

CONFIG = Path(__file__).resolve().parents[1] / "config.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 with the reason on standard error."""
    os.umask(0o077)
    told = _parser().parse_args(arguments)
    try:
        config = read_config(told.config)
        for line in COMMANDS[told.command](config, told):
            print(line, flush=True)
    except BackupError as error:
        print(f"orthanc-backup: {error}", file=sys.stderr)
        return 1
    return 0


def _create(config: Config, told: argparse.Namespace) -> Iterator[str]:
    now = datetime.now(timezone.utc)
    last = read_state(config.directory)
    try:
        with _alone(config, told.wait):
            backup = _safely(config)
    except BackupError as error:
        stamp = now.isoformat(timespec="seconds")
        failed = State(stamp, last.success, last.backup, str(error))
        write_state(config.directory, failed, config.published)
        mail.send(config, complaint(failed, now, config.max_age))
        raise
    success = backup.manifest.time.isoformat(timespec="seconds")
    made = State(success, success, backup.manifest.moment, "")
    write_state(config.directory, made, config.published)
    yield from _described(backup)
    if not backup.manifest.encrypted:
        yield (
            f"It holds no secrets, since orthanc_{config.kind}_backup_recipients is empty: keep a "
            f"copy of {config.secrets} yourself."
        )


def _safely(config: Config) -> BackupSet:
    """Make a backup; whatever happens becomes a message that names no value."""
    try:
        return create(config)
    except OSError as error:
        raise BackupError(f"{error.filename or 'The host'}: {error.strerror}.") from error
    except BackupError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
        raise BackupError(f"The program failed: {where}. Please report it.") from error


def _check(config: Config, told: argparse.Namespace) -> Iterator[str]:
    backup, identity = open_set(told.backup), _identity(told.identity)
    _see_that_it_fits(config, backup)
    with _alone(config, told.wait):
        prove(config, backup, identity)
    if backup.manifest.secrets and identity:
        held = ", ".join(sorted(unpack(backup, identity)))
        yield f"The secrets can be decrypted: {held}."
    else:
        check_keys(config, backup)
        yield "The backup holds no secrets; this host has the keys that it was made with."
    yield from _described(backup)


def _secrets(config: Config, told: argparse.Namespace) -> Iterator[str]:
    backup = open_set(told.backup)
    yield from place_secrets(config, backup, _identity(told.identity), overwrite=told.overwrite)


def _restore(config: Config, told: argparse.Namespace) -> Iterator[str]:
    backup, identity = open_set(told.backup), _identity(told.identity)
    _see_that_it_fits(config, backup)
    check_keys(config, backup)
    with _alone(config, told.wait):
        backup.verify()
        yield from Restore(config, backup, identity, told.index, told.overwrite).run()


def _wal_begin(config: Config, told: argparse.Namespace) -> Iterator[str]:
    with _alone(config, told.wait):
        yield from wal.begin(config)


def _wal_base(config: Config, told: argparse.Namespace) -> Iterator[str]:
    try:
        with _alone(config, told.wait):
            yield from wal.base(config)
    except BackupError as error:
        mail.send(config, str(error))
        raise


def _wal_restore(config: Config, told: argparse.Namespace) -> Iterator[str]:
    with _alone(config, told.wait):
        yield from wal.restore(config, told.moment)


def _wal_reached(config: Config, _: argparse.Namespace) -> Iterator[str]:
    yield from wal.reached(config)


def _move(config: Config, told: argparse.Namespace) -> Iterator[str]:
    source = Server(told.source)
    with _alone(config, told.wait):
        see_that_it_answers(source)
        yield from move(config, source)


def _watch(config: Config, _: argparse.Namespace) -> Iterator[str]:
    wrong = complaint(read_state(config.directory), datetime.now(timezone.utc), config.max_age)
    if config.wal:
        wrong = " ".join(filter(None, [wrong, wal.complaint(config)]))
    if wrong:
        mail.send(config, wrong)
        raise BackupError(wrong)
    yield "The last backup is as young as it should be."


COMMANDS = {
    "create": _create,
    "check": _check,
    "secrets": _secrets,
    "restore": _restore,
    "move": _move,
    "wal-begin": _wal_begin,
    "wal-base": _wal_base,
    "wal-restore": _wal_restore,
    "wal-reached": _wal_reached,
    "watch": _watch,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="orthanc-backup", description=__doc__)
    parser.add_argument("--config", type=Path, default=CONFIG, help="the role's settings")
    commands = parser.add_subparsers(dest="command", required=True)
    waiting = argparse.ArgumentParser(add_help=False)
    waiting.add_argument(
        "--wait", type=int, default=900, help="seconds to wait for another backup to end"
    )
    of_one = argparse.ArgumentParser(add_help=False)
    of_one.add_argument("backup", type=Path, help="the directory of one backup")
    of_one.add_argument("--identity", help="the file of an age identity; - is standard input")
    bold = argparse.ArgumentParser(add_help=False)
    bold.add_argument("--overwrite", action="store_true", help="replace what is newer, too")
    commands.add_parser("create", parents=[waiting], help="make and prove one backup")
    commands.add_parser("check", parents=[waiting, of_one], help="prove a backup again")
    commands.add_parser("secrets", parents=[of_one, bold], help="place a backup's secrets")
    restoring = commands.add_parser(
        "restore", parents=[waiting, of_one, bold], help="restore a backup's databases"
    )
    restoring.add_argument("--index", choices=["auto", "always", "never"], default="auto")
    moving = commands.add_parser(
        "move", parents=[waiting], help="take the databases from another server"
    )
    moving.add_argument("source", help="the container of the other server")
    for name, purpose in {"begin": "begin the archive", "base": "make a base backup"}.items():
        commands.add_parser(f"wal-{name}", parents=[waiting], help=purpose)
    going = commands.add_parser("wal-restore", parents=[waiting], help="go back to a moment")
    going.add_argument("moment", help="as PostgreSQL writes it, with its offset from UTC")
    commands.add_parser("wal-reached", help="wait until the server has reached the moment")
    commands.add_parser("watch", help="mail if the last backup failed or is overdue")
    return parser


@contextmanager
def _alone(config: Config, wait: int) -> Iterator[None]:
    """Keep other backups and restores of this Orthanc out."""
    config.directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    deadline = time.monotonic() + wait
    with (config.directory / ".lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BackupError(
                        f"Another backup or restore of {config.name} is still running: wait for "
                        "it, or make backups less often."
                    ) from None
            time.sleep(1)
        yield


def _identity(path: str | None) -> Identity | None:
    if path is None:
        return None
    if path == "-":
        text = sys.stdin.read()
        return Identity(text) if text.strip() else None
    try:
        return Identity(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BackupError(f"{path} cannot be read ({error.strerror}).") from None


def _see_that_it_fits(config: Config, backup: BackupSet) -> None:
    manifest = backup.manifest
    if manifest.kind != config.kind:
        raise BackupError(f"{backup.path} is of a {manifest.kind} Orthanc, not {config.kind}.")
    made, here = manifest.versions.get("postgresql", ""), config.postgres_major
    if int(made.split(".")[0] or 0) > int(here):
        raise BackupError(
            f"{backup.path} is of PostgreSQL {made}, and this host runs {here}: deploy the version "
            "that made it first."
        )


def _described(backup: BackupSet) -> Iterator[str]:
    yield f"{backup.path} is proven: restored into a server of its own, every row is there."
    for database, tables in sorted(backup.manifest.tables.items()):
        yield f"{database}: {sum(tables.values())} rows in {len(tables)} tables."
