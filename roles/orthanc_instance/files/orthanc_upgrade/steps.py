# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of an upgrade. Each can be run again after an interruption."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from orthanc_upgrade.config import BEFORE, Config
from orthanc_upgrade.containers import (
    all_containers,
    bring_back,
    docker,
    image_of,
    is_running,
    put_aside,
    serve_files,
    wait_until_healthy,
)
from orthanc_upgrade.errors import UpgradeError
from orthanc_upgrade.state import STATE, State, marks_of, read_state, write_state

ASIDE = "before"


def begin(config: Config) -> Iterator[str]:
    """Note what runs, and prove a backup of it while it runs. Says whether there is anything to do.

    Raises:
        UpgradeError: The database does not run, or no backup can be proven. Nothing has changed.
    """
    state = read_state(config)
    if state is None:
        here = {name: image for name in config.images if (image := image_of(name))}
        if config.database not in here:
            raise UpgradeError(f"There is no {config.database} to upgrade: run site.yml.")
        if here == config.images:
            yield "nothing to upgrade"
            return
        if not is_running(config.database):
            raise UpgradeError(f"{config.database} does not run: run site.yml of the old version.")
        state = State(here, _running_major(config), marks_of(config))
    if not state.backup:
        state = replace(state, backup=_backed_up(config))
    if not (config.place / ASIDE).exists():
        _copy_directories(config)
    write_state(config, state)
    moved = f", PostgreSQL {state.major} to {config.major}" if state.major != config.major else ""
    yield f"upgrade begins{moved}; the proven backup is {state.backup}"


def stop(config: Config) -> Iterator[str]:
    """Stop what runs and put it aside.

    Where PostgreSQL's major version changes, its old files are served once more, and the answer is
    the name of the container that does it: the new one takes the databases from it.
    """
    state = _begun(config)
    *others, database = all_containers(config)
    for name in others:
        if image_of(name) != config.images.get(name):
            put_aside(name)
    changes = state.major != config.major
    if changes or image_of(database) != config.images[database]:
        put_aside(database)
    if changes and not state.moved:
        old = state.images[database]
        serve_files(config.moving, old, config.postgres, state.major, config.postgres_uid)
        yield config.moving


def moved(config: Config) -> Iterator[str]:
    """Note that the new PostgreSQL has the databases, and stop the old one."""
    write_state(config, replace(_begun(config), moved=True))
    _end_moving(config)
    yield f"PostgreSQL {config.major} has the databases."


def back(config: Config) -> Iterator[str]:
    """Bring back what ran before.

    Raises:
        UpgradeError: The databases have changed so that the old version cannot go on with them.
    """
    state = _begun(config)
    _end_moving(config)
    if is_running(config.database):
        _see_that_the_old_can_go_on(config, state)
    names = all_containers(config)
    for name in names:
        if image_of(name + BEFORE):
            docker("rm", "--force", name, check=False)
    if state.major != config.major and (new := config.postgres / config.major).exists():
        kept = new.with_name(f"{config.major}.failed-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}")
        new.rename(kept)
        yield f"The files of PostgreSQL {config.major} are kept in {kept}."
    _copy_directories_back(config)
    for name in reversed(names):
        bring_back(name)
        wait_until_healthy(name)
    _forget(config)
    yield f"{config.name} is back on the version before, and healthy."


def end(config: Config) -> Iterator[str]:
    """Throw away what was put aside; PostgreSQL's old files stay."""
    state = read_state(config)
    _forget(config)
    if state is not None and state.major != config.major:
        yield (
            f"PostgreSQL {config.major} runs. The files of {state.major} are kept in "
            f"{config.postgres / state.major}: remove them when all is well."
        )


def _end_moving(config: Config) -> None:
    if image_of(config.moving):
        docker("stop", config.moving)
        docker("rm", "--force", "--volumes", config.moving)


def _forget(config: Config) -> None:
    _end_moving(config)
    for name in all_containers(config):
        docker("rm", "--force", name + BEFORE, check=False)
    shutil.rmtree(config.place / ASIDE, ignore_errors=True)
    (config.place / STATE).unlink(missing_ok=True)


def _begun(config: Config) -> State:
    state = read_state(config)
    if state is None:
        raise UpgradeError(f"No upgrade of {config.name} has begun.")
    return state


def _running_major(config: Config) -> str:
    told = docker(
        "exec", config.database, "psql", "-XAtq", "-U", "postgres", "-c", "SHOW server_version"
    )
    return told.split(".")[0].strip()


def _backed_up(config: Config) -> str:
    done = subprocess.run(
        ["python3", "-B", "-m", "orthanc_backup", "create"],
        cwd=config.backup, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise UpgradeError(f"There is no proven backup. {done.stderr.strip()}")
    told = json.loads((config.backups / "state.json").read_text(encoding="utf-8"))
    return str(config.backups / told["backup"])


def _copy_directories(config: Config) -> None:
    """Copy what the containers mount, whole or not at all."""
    unfinished = config.place / f".{ASIDE}"
    shutil.rmtree(unfinished, ignore_errors=True)
    for directory in config.directories:
        if directory.exists():
            _copy(directory, unfinished / directory.relative_to("/"))
    unfinished.mkdir(exist_ok=True)
    unfinished.rename(config.place / ASIDE)


def _copy_directories_back(config: Config) -> None:
    for directory in config.directories:
        kept = config.place / ASIDE / directory.relative_to("/")
        if kept.exists():
            shutil.rmtree(directory, ignore_errors=True)
            _copy(kept, directory)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["cp", "--archive", "--no-target-directory", str(source), str(target)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise UpgradeError(f"{source} cannot be copied: {done.stderr.strip()}")


def _see_that_the_old_can_go_on(config: Config, state: State) -> None:
    now = marks_of(config)
    again = (
        "Nothing is lost, and what runs now was left as it is. Correct the cause and run "
        "upgrade.yml again, which goes on from here. To go back instead, without what came after "
        f"the backup, deploy the old version and restore {state.backup} with "
        "restore_overwrite=true."
    )
    if state.major != config.major:  # the old files have not been touched
        if any(new > old for new, old in zip(now.rows, state.marks.rows)):
            raise UpgradeError(
                f"The way back is closed: studies have come into PostgreSQL {config.major}, and "
                f"{state.major} does not have them. {again}"
            )
        return
    if now.revision != state.marks.revision:
        raise UpgradeError(
            f"The way back is closed: the crosswalk's schema is {now.revision} already, and the "
            f"version before knows {state.marks.revision} at the most. {again}"
        )
    if now.schema != state.marks.schema:
        raise UpgradeError(
            f"The way back is closed: the schema of Orthanc's index is {now.schema} already, "
            f"and was {state.marks.schema}. {again}"
        )
