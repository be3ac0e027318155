# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors of a backup, whose messages may be mailed."""

from __future__ import annotations

import re

# What a program says may hold a row, and so a name. Only these words of it are ever repeated.
HARMLESS = re.compile(
    r"No such container|is not running|Cannot connect to the Docker daemon|No such image"
    r"|Unable to find image|connection to server|server version mismatch|unsupported version"
    r"|does not appear to be a valid archive|did not find magic string|could not read from input"
    r"|unexpected end of file|No space left on device|[Pp]ermission denied|lock timeout"
    r"|statement timeout|missing chunk number|invalid page in block|out of memory"
    r"|no identity matched any of the recipients|malformed recipient|unknown recipient type"
    r"|malformed secret key|unexpected intro|failed to decrypt and authenticate"
    r"|database .{0,80} does not exist|role .{0,80} does not exist|(?:ERROR|FATAL): +[0-9A-Z]{5}$",
    re.MULTILINE,
)


class BackupError(Exception):
    """Something is wrong with a backup; the message says what, where and what to do."""


def harmless(text: str) -> str:
    """Return those words of a program's complaint that can hold nobody's name."""
    found = list(dict.fromkeys(match.strip() for match in HARMLESS.findall(text)))
    return ": " + ", ".join(found) if found else ""
