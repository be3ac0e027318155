# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption to the site's recipients with age, whose identities are not on this host."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orthanc_backup.errors import BackupError
from orthanc_backup.running import pipe, program

PUBLIC = re.compile(r"^# public key: (age1[0-9a-z]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Identity:
    """The text of an age identity file, which stays in memory and reaches age by its input."""

    text: str
    recipient: str = ""

    def __repr__(self) -> str:
        return "Identity()"


def passing_identity() -> Identity:
    """Return a new identity that lives as long as this process.

    A backup is encrypted to it, too, so that the very file that is kept can be proven here.
    """
    text = pipe("A key for the proof cannot be made", [program("age-keygen")]).decode("ascii")
    found = PUBLIC.search(text)
    if not found:
        raise BackupError("age-keygen says no public key: install the package age 1.0 or later.")
    return Identity(text, found[1])


def encrypting(recipients: Sequence[str]) -> list[str]:
    """Return the command that encrypts its input to the recipients."""
    return [program("age"), *(f"--recipient={recipient}" for recipient in recipients)]


def decrypting(path: str) -> list[str]:
    """Return the command that decrypts a file with the identity in its input."""
    return [program("age"), "--decrypt", "--identity", "-", path]
