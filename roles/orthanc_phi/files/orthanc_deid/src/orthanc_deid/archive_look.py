# SPDX-License-Identifier: GPL-3.0-or-later
"""Look through a directory tree: which files there are, and to which study each belongs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Final

from orthanc_deid.archive import Archive, Found, Read, in_pages
from orthanc_deid.batch import TreeDeidentifier, reason_of
from orthanc_deid.errors import DeidError, Quarantine
from orthanc_deid.identity import read_identity, read_study

_HEAD: Final = 1 << 18  # bytes of a file that mostly tell its study
_CHUNK: Final = 32


def look_through(
    archive: Archive,
    tree: TreeDeidentifier,
    pool: Executor,
    progress: Callable[[int], None],
    *,
    again: bool = False,
) -> None:
    """Note every file of a tree, and give each new study its subject.

    Subjects are given in the order of the studies' first files, so that the same tree gets the
    same numbers however many processes work on it.

    Args:
        archive: where the files are noted.
        tree: the two trees.
        pool: processes that read the files.
        progress: is told how many files there are so far.
        again: whether all studies are to be done again.
    """
    look = archive.begin_look(again=again)
    seen = 0
    for page in in_pages(_files(tree.in_dir)):
        new = archive.unknown(page, look, tree.out_dir)
        read = list(pool.map(partial(_read, tree.in_dir), new, chunksize=_CHUNK))
        if read:
            archive.add(read, look)
        seen += len(page)
        progress(seen)
    archive.end_look(look)
    for study_id in archive.waiting():
        try:
            tree.subject(archive.files(study_id))
        except (DeidError, OSError):
            continue  # said where the study is done, with all that is wrong with it


def _files(in_dir: Path) -> Iterator[Found]:
    """Yield every file, without holding more than the folders that are still to be entered."""
    waiting = [in_dir]
    while waiting:
        folder = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.is_file():
                    told = entry.stat()
                    path = Path(entry.path).relative_to(in_dir)
                    yield Found(path, told.st_size, told.st_mtime_ns)


def _read(in_dir: Path, found: Found) -> Read:
    if found.path.name.upper() == "DICOMDIR":
        return Read(found, verdict="left out", reason="a DICOMDIR repeats the names of patients")
    try:
        return Read(found, study_instance_uid=_study_of(in_dir / found.path))
    except (DeidError, OSError) as error:
        return Read(found, verdict="failed", reason=reason_of(error))


def _study_of(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if len(head) == _HEAD:
            try:
                return read_study(head)
            except Quarantine:
                head += file.read()
    return read_identity(head).study_instance_uid
