# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs as lines of JSON that never hold an identity.

A study is named by its number in the crosswalk and its anonymous StudyInstanceUID. Of an exception
only its type and place are shown, for its message may quote what it failed on.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

FIELDS = (
    "study", "anonymous_study_uid", "job", "destination", "instances", "mails", "reason", "seconds",
)  # fmt: skip
# These write URLs, arguments and data sets, in which identifiers stand.
QUIET = (
    "alembic",
    "asyncio",
    "httpcore",
    "httpx",
    "procrastinate",
    "pydicom",
    "pynetdicom",
    "sqlalchemy",
)


class JsonFormatter(logging.Formatter):
    """One log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {
            name: value for name in FIELDS if (value := getattr(record, name, None)) is not None
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = describe(record.exc_info[0], record.exc_info[2])
        return json.dumps(line)


def configure(level: int = logging.INFO) -> None:
    """Send all logs of this process to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


def describe(kind: type[BaseException], trace: TracebackType | None) -> str:
    """Return the type of an exception and where it was raised."""
    frames = traceback.extract_tb(trace)
    if not frames:
        return kind.__name__
    last = frames[-1]
    place = f"{last.filename.rpartition('/')[2]}:{last.lineno} in {last.name}"
    return f"{kind.__name__} at {place}"
