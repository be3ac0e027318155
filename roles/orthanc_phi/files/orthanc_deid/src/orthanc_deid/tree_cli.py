# SPDX-License-Identifier: GPL-3.0-or-later
"""`orthanc-deid run`: what a person sees of a run over a directory tree."""

from __future__ import annotations

import argparse
import os
import secrets
import time
from concurrent.futures import Executor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from orthanc_deid import batch, migrate
from orthanc_deid.archive import Amount, Archive
from orthanc_deid.archive_run import locked, pool_of, work_here, work_with_others
from orthanc_deid.archive_settings import RunSettings, Workplace
from orthanc_deid.errors import DeidError
from orthanc_deid.identity import Identity, read_identity
from orthanc_deid.job_queue import QUEUE_ERRORS
from orthanc_deid.mapping import UID_FILE, Pair, read_uids, write_mapping

_MOST_TOLD: Final = 1000  # files; the others are counted
_LINE_SECONDS: Final = 30.0  # between two lines where there is no terminal
_CHUNK: Final = 32


def run(arguments: argparse.Namespace) -> int:
    """De-identify a tree and tell what became of it; the exit status is 1 if a file failed."""
    batch.check_directories(arguments.in_dir, arguments.out_dir)
    settings = _settings(arguments)
    settings.engine()  # tells what is wrong with profile or secret before anything is begun
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        _make_ready(settings, enqueue=arguments.enqueue)
        place = Workplace(settings)
        try:
            with (
                locked(settings.out_dir, shared=arguments.enqueue),
                pool_of(place, settings, max(1, arguments.jobs)) as pool,
            ):
                _work(arguments, place, pool, console)
                if arguments.mapping:
                    _write_mapping(arguments.mapping, place, pool)
            return _tell(place.archive, console)
        finally:
            place.close()
    except QUEUE_ERRORS as error:
        raise DeidError(
            "the queue's database does not answer; run the same command again, and it goes on "
            "where it was"
        ) from error
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__).strip()
        raise DeidError(f"the crosswalk database fails: {reason}") from error


def _settings(arguments: argparse.Namespace) -> RunSettings:
    if arguments.enqueue and not (arguments.secret_file and arguments.secret_file.exists()):
        raise DeidError(
            "--enqueue needs --secret-file FILE with the secret that all machines use; make one "
            "with `openssl rand -hex 32`"
        )
    secret_file = arguments.secret_file or _data_home() / "uid.key"
    _refuse_inside(secret_file, arguments.out_dir, "--secret-file")
    if arguments.mapping:
        _refuse_inside(arguments.mapping / UID_FILE, arguments.out_dir, "--mapping")
    _make_secret(secret_file)
    return RunSettings(
        in_dir=arguments.in_dir,
        out_dir=arguments.out_dir,
        profile=arguments.profile,
        keep_dates=arguments.keep_dates,
        secret_file=secret_file,
        crosswalk=arguments.crosswalk or f"sqlite:///{_data_home() / 'crosswalk.sqlite'}",
        project=arguments.project,
        base_name=arguments.base_name,
        subject_per=arguments.subject_per,
        issuer=arguments.issuer,
    )


def _data_home() -> Path:
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    path = Path(home) / "orthanc-deid"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def _refuse_inside(path: Path, out_dir: Path, option: str) -> None:
    if out_dir.resolve() in path.resolve().parents:
        raise DeidError(
            f"{option} {path} lies in OUT_DIR, which is given away, and links it to the patients; "
            "name a place elsewhere"
        )


def _make_secret(path: Path) -> None:
    try:
        # 0600 from the start, and never over one that is there: it cannot be made again.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise DeidError(f"the secret cannot be made at {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _make_ready(settings: RunSettings, *, enqueue: bool) -> None:
    """Make the database of the crosswalk ready."""
    try:
        parsed = make_url(settings.crosswalk)
    except ArgumentError as error:
        raise DeidError(
            "--crosswalk is no database URL; write sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from error
    is_file = parsed.get_backend_name() == "sqlite"
    if enqueue and is_file:
        raise DeidError(
            "--enqueue needs a database that other machines reach; "
            "name it with --crosswalk postgresql://USER@HOST/NAME"
        )
    if is_file and parsed.database:
        database = Path(parsed.database)
        _refuse_inside(database, settings.out_dir, "--crosswalk")
        try:
            database.touch(mode=0o600)
        except OSError as error:
            raise DeidError(f"--crosswalk {database}: {error.strerror}") from error
    migrate.upgrade(parsed)


def _work(
    arguments: argparse.Namespace, place: Workplace, pool: Executor, console: Console
) -> None:
    work = work_with_others if arguments.enqueue else work_here
    with _Bars(console) as bars:
        work(place, pool, bars.tell, jobs=max(1, arguments.jobs), again=arguments.again)


class _Bars:
    """Shows how far each step is: on a terminal as bars, elsewhere as lines now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: dict[str, TaskID] = {}
        self._told = time.monotonic()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[told]}"),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def tell(self, step: str, done: Amount, total: Amount) -> None:
        """Tell how much of a step is done."""
        if step not in self._steps:
            self._steps[step] = self._bars.add_task(step, told="")
        bar = self._steps[step]
        of = f" of {total.files:,}" if total.files else ""
        rate = done.files / max(self._bars.tasks[bar].elapsed or 0, 0.001)
        told = f"{done.files:,}{of} files, {rate:,.0f}/s"
        self._bars.update(bar, completed=done.size, total=total.size or None, told=told)
        if not self._console.is_terminal and time.monotonic() - self._told > _LINE_SECONDS:
            self._told = time.monotonic()
            seconds = self._bars.tasks[bar].time_remaining
            left = "" if seconds is None else f", {timedelta(seconds=round(seconds))} left"
            self._console.print(f"{step}: {told}{left}")


def _write_mapping(directory: Path, place: Workplace, pool: Executor) -> None:
    """Write old and new of all that is in the output, by reading the originals again."""
    uids: set[Pair] = set()
    patients: set[Pair] = set()
    read = partial(_old_of, place.tree.in_dir)
    for old, identity in pool.map(read, place.archive.done(), chunksize=_CHUNK):
        uids |= {(uid, place.tree.engine.map_uid(uid)) for uid in old}
        patients.add((identity.patient_id, place.tree.new_patient_id(identity)))
    write_mapping(directory, uids, patients)


def _old_of(in_dir: Path, path: Path) -> tuple[set[str], Identity]:
    data = (in_dir / path).read_bytes()
    return read_uids(data), read_identity(data)


def _tell(archive: Archive, console: Console) -> int:
    failed = 0
    told = 0
    for path, verdict, reason in archive.not_written():
        failed += verdict == "failed"
        told += 1
        if told <= _MOST_TOLD:
            console.print(f"{verdict:<9} {path}: {reason}")
    if told > _MOST_TOLD:
        console.print(f"and {told - _MOST_TOLD:,} files more")
    console.print(
        f"{archive.written()} instances written in {archive.amount('done').studies} studies, "
        f"{failed} files failed"
    )
    return 1 if failed else 0
