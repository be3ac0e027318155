# SPDX-License-Identifier: GPL-3.0-or-later
"""`orthanc-deid run`: what a person sees of a run over a directory tree."""

from __future__ import annotations

import argparse
import os
import secrets
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from orthanc_deid import batch, migrate
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.engine import Engine
from orthanc_deid.errors import DeidError
from orthanc_deid.keys import Keys
from orthanc_deid.mapping import UID_FILE, write_mapping
from orthanc_deid.numbering import Numbering
from orthanc_deid.profile import load_profile


def run(arguments: argparse.Namespace) -> int:
    """De-identify a tree and tell what became of it; the exit status is 1 if a file failed."""
    batch.check_directories(arguments.in_dir, arguments.out_dir)
    profile = load_profile(arguments.profile, keep_dates=arguments.keep_dates)
    secret_file = arguments.secret_file or _data_home() / "uid.key"
    _refuse_inside(secret_file, arguments.out_dir, "--secret-file")
    if arguments.mapping:
        _refuse_inside(arguments.mapping / UID_FILE, arguments.out_dir, "--mapping")
    url = arguments.crosswalk or f"sqlite:///{_data_home() / 'crosswalk.sqlite'}"
    engine = Engine(profile, _keys(secret_file, arguments.project))
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        crosswalk = _open_crosswalk(url, arguments)
        try:
            summary = _run(arguments, engine, crosswalk, console)
        finally:
            crosswalk.close()
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__).strip()
        raise DeidError(f"the crosswalk database fails: {reason}") from error
    if arguments.mapping:
        write_mapping(arguments.mapping, summary.new_uids.items(), summary.new_patients.items())
    return _tell(summary, console)


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


def _keys(path: Path, project: str) -> Keys:
    try:
        # 0600 from the start, and never over one that is there: it cannot be made again.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise DeidError(f"the secret cannot be made at {path}: {error.strerror}") from error
    else:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
    try:
        return Keys.derive(path.read_bytes().strip(), project)
    except OSError as error:
        raise DeidError(f"the secret cannot be read from {path}: {error.strerror}") from error
    except ValueError as error:
        raise DeidError(f"{path}: {error}") from error


def _open_crosswalk(url: str, arguments: argparse.Namespace) -> Crosswalk:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DeidError(
            "--crosswalk is no database URL; write sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from error
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        database = Path(parsed.database)
        _refuse_inside(database, arguments.out_dir, "--crosswalk")
        try:
            database.touch(mode=0o600)
        except OSError as error:
            raise DeidError(f"--crosswalk {database}: {error.strerror}") from error
    migrate.upgrade(parsed)
    numbering = Numbering(subject_per=arguments.subject_per, issuer=arguments.issuer)
    return Crosswalk(
        parsed, base_name=arguments.base_name, project=arguments.project, numbering=numbering
    )


def _run(
    arguments: argparse.Namespace, engine: Engine, crosswalk: Crosswalk, console: Console
) -> batch.Summary:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done)

        return batch.run(arguments.in_dir, arguments.out_dir, engine, crosswalk, progress)


def _tell(summary: batch.Summary, console: Console) -> int:
    for path, reason in sorted(summary.left_out.items()):
        console.print(f"left out  {path}: {reason}")
    for path, reason in sorted(summary.failed.items()):
        console.print(f"failed    {path}: {reason}")
    console.print(
        f"{summary.written} instances written in {len(summary.records)} studies, "
        f"{len(summary.failed)} files failed"
    )
    return 1 if summary.failed else 0
