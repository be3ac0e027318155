# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove the files of a withdrawn study from the tree, and nothing that people put beside them.

No `orthanc` import. Only the thread that writes may remove.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from deidentified_only import UnreadableHeaderError, read_elements
from disk_writer import HEADER_BYTES, STUDY_UID, Planned, Tree, study_folder, sync_directory

PEOPLES = ("RawData", "Analysis")


@dataclass(slots=True)
class Removal:
    """How many files were removed, and what is left because people put it there."""

    removed: int = 0
    left: list[str] = field(default_factory=list)


def remove(tree: Tree, planned: list[Planned], study_uid: str, recorded: str | None) -> Removal:
    """Remove the files of a study, then the folders that are empty without them.

    Args:
        tree: where it was written.
        planned: its instances, from `Tree.plan`.
        study_uid: its Study Instance UID; only files that hold it are removed.
        recorded: the folder where it was written before, maybe by another template.

    Raises:
        OSError: something cannot be removed now.
    """
    removal = Removal()
    for item in planned:
        _unlink(tree.below(*item.path.parts), study_uid, removal)
    own = any(item.path.study_depth for item in planned)
    folders = {study_folder(planned)} | ({recorded} if recorded else set())
    for folder in sorted(filter(None, folders)):
        _clear(tree, tree.below(*folder.split("/")), study_uid, removal, whole=own)
    return removal


def _clear(tree: Tree, folder: Path, study_uid: str, removal: Removal, *, whole: bool) -> None:
    """Remove what is left of the study below a folder; `whole` says that nothing else is there."""
    for where, _, names in os.walk(folder, topdown=False):
        here = Path(where)
        if not set(PEOPLES).intersection(here.relative_to(folder).parts):
            for name in names:
                _unlink(here / name, study_uid, removal)
        with contextlib.suppress(OSError):  # it is not empty
            here.rmdir()
    if folder.exists():
        if whole:
            removal.left += sorted(
                str(path.relative_to(tree.root)) for path in folder.rglob("*") if path.is_file()
            )
        sync_directory(folder)
    _prune(tree.root, folder.parents)


def _prune(root: Path, folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder == root:
            break
        with contextlib.suppress(FileNotFoundError):
            try:
                folder.rmdir()
            except OSError:  # it is not empty
                sync_directory(folder)
                return
    sync_directory(root)


def _unlink(path: Path, study_uid: str, removal: Removal) -> None:
    """Remove a file if it is one of the study's."""
    try:
        with path.open("rb") as file:
            found = read_elements(file.read(HEADER_BYTES), {STUDY_UID}).get(STUDY_UID, b"")
    except (FileNotFoundError, IsADirectoryError, UnreadableHeaderError):
        return
    if found.rstrip(b"\0 ").decode("ascii", "replace") == study_uid:
        path.unlink()
        removal.removed += 1
