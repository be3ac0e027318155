# SPDX-License-Identifier: GPL-3.0-or-later
"""How the last backup went, for the health check, and whether the next one is overdue."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from orthanc_backup.backup_set import write

STATE = "state.json"


@dataclass(frozen=True)
class State:
    """The last attempt and the last success, as ISO 8601 in UTC, and the last attempt's error."""

    attempt: str
    success: str
    backup: str
    error: str


def read_state(directory: Path) -> State:
    """Return the state; an empty one where no backup was ever made or the file is damaged."""
    try:
        return State(**json.loads((directory / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return State("", "", "", "")


def write_state(directory: Path, state: State, published: Path | None = None) -> None:
    """Write the state, and where others read it, who may not read the backups."""
    text = json.dumps(asdict(state), indent=2) + "\n"
    write(directory / STATE, text)
    if published and published.parent.is_dir():
        write(published, text)
        published.chmod(0o444)


def complaint(state: State, now: datetime, max_age: int) -> str:
    """Return what is wrong with the backups, or nothing. ``max_age`` is in hours."""
    if state.error:
        return f"The backup of {state.attempt} failed: {state.error}"
    if not state.success:
        return "No backup has been made yet."
    age = now - datetime.fromisoformat(state.success)
    if age > timedelta(hours=max_age):
        hours = age / timedelta(hours=1)
        return f"The last backup is {hours:.0f} hours old, and {max_age} are allowed."
    return ""
