# SPDX-License-Identifier: GPL-3.0-or-later
"""What Orthanc's index and its directory of files know of each other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from orthanc_backup.config import INDEX
from orthanc_backup.postgres import Server

# Orthanc names a file by a UUID, below two directories of two characters of it.
FILE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def has_files(storage: Path) -> bool:
    """Tell whether there is any file of Orthanc's."""
    return next(_files(storage), None) is not None


def differences(server: Server, storage: Path) -> Iterator[str]:
    """Yield, in sentences, what the index names and is not there, and the other way round."""
    named = {row[0] for row in server.sql(INDEX, "SELECT uuid FROM attachedfiles;")}
    there = set(_files(storage))
    if named - there:
        yield (
            f"{len(named - there)} of {len(named)} files that Orthanc's index names are not in "
            f"{storage}: bring them back from the backup of the files, or delete the studies in "
            "Orthanc that cannot be opened and have them sent again."
        )
    if there - named:
        yield (
            f"{len(there - named)} files in {storage} are not in Orthanc's index: they came after "
            "the backup. Have those studies sent again."
        )


def _files(storage: Path) -> Iterator[str]:
    for _, _, names in os.walk(storage):
        yield from (name for name in names if FILE.match(name))
