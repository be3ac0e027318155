# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder as a destination: one file for each instance, by a template as Disk's tree has.

A list of a study's files lies in the folder's `.deliveries`. By it a file that moves, since what
came late changed the name of its study's folder, leaves no second copy behind.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pydicom import dcmread
from pydicom.datadict import tag_for_keyword

from orthanc_deid.destination_config import Folder
from orthanc_deid.disk_tree import LEVELS, Level, dominant_modality
from orthanc_deid.orthanc_client import CannotWithdrawError, RefusedError, TransientError

LISTS: Final = ".deliveries"
PARTIAL: Final = ".part-"
PIECE: Final = 1 << 20
_KEYWORDS: Final = frozenset(
    {keyword for keyword in LEVELS if tag_for_keyword(keyword)}
    | {"PatientName", "SeriesInstanceUID", "SOPInstanceUID", "Modality"}
)


class _Content(NamedTuple):
    """What tells a file from another."""

    size: int
    sha256: str


class FolderDestination:
    """A directory of the host that is mounted into the worker."""

    def __init__(self, name: str, folder: Folder) -> None:
        self.name = name
        self._root = folder.path
        self._template = folder.template

    def check(self) -> None:
        """Raise `TransientError` if nothing can be written into the folder."""
        if not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
            raise TransientError(
                f"{self.name}: {self._root} is not there or cannot be written; is it mounted, and "
                "does it belong to the worker's user?"
            )

    def deliver(
        self, study_instance_uid: str, files: Mapping[str, Path], going_on: Callable[[], None]
    ) -> None:
        """Write every file that is not there as it should be, and read each one back."""
        self.check()
        try:
            self._deliver(study_instance_uid, files, going_on)
        except OSError as error:
            raise TransientError(
                f"{self.name}: {self._root} cannot be written: {error.strerror}"
            ) from None

    def withdraw(self, study_instance_uid: str) -> None:
        """Remove the files that the study's list names, and the list when they are gone."""
        self.check()
        path = self._list(study_instance_uid)
        try:
            for name in _read_list(path):
                file = self._root / name
                file.unlink(missing_ok=True)
                _remove_empty(file.parent, self._root)
            path.unlink()
        except FileNotFoundError:
            return  # no file was ever begun
        except ValueError:
            raise CannotWithdrawError(
                f"{self.name}: {path} cannot be read; remove study {study_instance_uid} by hand"
            ) from None
        except OSError as error:
            raise TransientError(
                f"{self.name}: a file in {self._root} cannot be removed: {error.strerror}"
            ) from None

    def _deliver(
        self, study_instance_uid: str, files: Mapping[str, Path], going_on: Callable[[], None]
    ) -> None:
        targets = self._targets(files)
        now = {str(target.relative_to(self._root)) for target in targets.values()}
        before = self._extend_list(study_instance_uid, now)
        for uid, target in targets.items():
            going_on()
            wanted = _content(files[uid])
            if not target.is_file() or _content(target) != wanted:
                _write(target, files[uid])
                if _content(target) != wanted:
                    raise TransientError(f"{self.name}: a file is not as it was written")
        self._shorten_list(study_instance_uid, now, before)

    def _targets(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """Return where the file of each SOP Instance UID lies."""
        tags = {uid: _read_tags(path) for uid, path in sorted(files.items())}
        per_series = Counter(
            (one["SeriesInstanceUID"], one.get("Modality", "")) for one in tags.values()
        )
        modality = dominant_modality((name, count) for (_, name), count in per_series.items())
        study = _of_level(tags.values(), Level.STUDY)
        series = {
            uid: _of_level(
                (one for one in tags.values() if one["SeriesInstanceUID"] == uid), Level.SERIES
            )
            for uid in {one["SeriesInstanceUID"] for one in tags.values()}
        }
        targets = {}
        for uid, own in tags.items():
            values = {
                **own,
                **study,
                **series[own["SeriesInstanceUID"]],
                "Modality": modality,
                "SeriesModality": own.get("Modality", ""),
            }
            targets[uid] = self._root.joinpath(*self._template.path(values).parts)
        if len(set(targets.values())) < len(targets):
            raise RefusedError(f"{self.name}: two instances would get the same file")
        return targets

    def _list(self, study_instance_uid: str) -> Path:
        return self._root / LISTS / f"{study_instance_uid}.json"

    def _extend_list(self, study_instance_uid: str, now: set[str]) -> set[str]:
        """Note where the study will lie, before its first file; returns where it lay."""
        path = self._list(study_instance_uid)
        try:
            before = _read_list(path)
        except (FileNotFoundError, ValueError):
            before = set()
        _write_bytes(path, json.dumps(sorted(now | before), indent=0).encode())
        return before

    def _shorten_list(self, study_instance_uid: str, now: set[str], before: set[str]) -> None:
        """Remove the study's files that lay elsewhere.

        What the list names that cannot be removed now is found again by the next one.
        """
        for name in before - now:
            old = self._root / name
            old.unlink(missing_ok=True)
            _remove_empty(old.parent, self._root)
        if before - now:
            _write_bytes(self._list(study_instance_uid), json.dumps(sorted(now), indent=0).encode())


def _read_list(path: Path) -> set[str]:
    """Return the names in a list; `ValueError` if it is none, or if one leads out of the folder.

    Others may write into the folder, so a list is not believed what it says of other places.
    """
    names = json.loads(path.read_text("utf-8"))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(path)
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
        raise ValueError(path)
    return set(names)


def _read_tags(path: Path) -> dict[str, str]:
    tags = [tag for keyword in _KEYWORDS if (tag := tag_for_keyword(keyword)) is not None]
    dataset = dcmread(path, stop_before_pixels=True, specific_tags=tags)
    return {
        element.keyword: "" if element.value is None else str(element.value) for element in dataset
    }


def _of_level(all_tags: Iterable[dict[str, str]], level: Level) -> dict[str, str]:
    """Return one value for each attribute of a level, the first one that any instance has."""
    found: dict[str, str] = {}
    for tags in all_tags:
        for keyword, value in tags.items():
            if value and LEVELS.get(keyword) is level:
                found.setdefault(keyword, value)
    return found


def _content(path: Path) -> _Content:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            size += len(piece)
    return _Content(size, digest.hexdigest())


def _write(target: Path, source: Path) -> None:
    def pieces() -> Iterable[bytes]:
        with source.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece

    _write_pieces(target, pieces())


def _write_bytes(target: Path, data: bytes) -> None:
    _write_pieces(target, [data])


def _write_pieces(target: Path, pieces: Iterable[bytes]) -> None:
    """Write a file so that by its name it is whole, also after a power cut."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{PARTIAL}{target.name}"[:200])
    try:
        with partial.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
