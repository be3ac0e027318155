# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the files of studies into the tree, whole and once.

No `orthanc` import: what Orthanc holds comes as a `Study` and a function that reads an instance.
A study is written by one thread at a time, which has others write its files: they mostly wait for
the disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from deidentified_only import UnreadableHeaderError, is_deidentified, read_elements
from disk_tree import Template, TreePath, dominant_modality, marked

STUDY_UID, SERIES_UID = 0x0020000D, 0x0020000E

# What concerns the tree as a whole: trying the next file would only fail again.
_TREE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN}
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM})
HEADER_BYTES = 1 << 20
WRITERS = 4
OTHER_FILE = "a different file has this name; move it away, then write the study again"


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance as Orthanc's index knows it; `size` is that of its file in bytes."""

    id: str
    size: int
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class Series:
    """A series with its instances."""

    tags: dict[str, str]
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """A study with its series; `tags` are those of patient and study."""

    id: str
    tags: dict[str, str]
    series: tuple[Series, ...]


@dataclass(slots=True)
class Result:
    """What of a study is in the tree. The keys of `failed` are `instance`, `path` and `reason`."""

    folder: str
    instances: int
    present: int = 0
    written: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)

    def note(self, item: Planned, written: bool, reason: str | None) -> None:
        """Count an instance that is in the tree now, or tell why it is not."""
        self.written += written
        if reason is None:
            self.present += 1
        else:
            self.failed.append(
                {"instance": item.instance.id, "path": str(item.path), "reason": reason}
            )


class TreeProblemError(Exception):
    """The tree cannot be written now; it will be tried again.

    Attributes:
        stops_all: No other study can be written either.
        result: What was reached before.
    """

    def __init__(self, message: str, *, stops_all: bool, result: Result) -> None:
        super().__init__(message)
        self.stops_all = stops_all
        self.result = result


@dataclass(frozen=True, slots=True)
class Planned:
    """An instance and where its file belongs, below the root."""

    instance: Instance
    path: TreePath


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree below `root`, which must be there: a root that is missing is a missing mount."""

    root: Path
    template: Template
    file_mode: int = 0o640
    directory_mode: int = 0o2750

    def below(self, *parts: str) -> Path:
        """The path of something in the tree: in UTF-8 on the disk, whatever the locale.

        Python inside Orthanc takes file names for ASCII where no locale is set.
        """
        return self.root.joinpath(*(os.fsdecode(part.encode()) for part in parts))

    def plan(self, study: Study, recorded: str | None = None) -> list[Planned]:
        """Name the file of each instance.

        A folder belongs to the series (or study) whose files lie in it. Another one of the same
        name gets the folder with the hash of its UID at the end, so two never merge, whatever
        order they come in, and even when Orthanc's index was lost.

        Args:
            study: What Orthanc holds.
            recorded: The study's folder where it was written before; it stays, even if a series
                that came later would name it otherwise.
        """
        taken: dict[tuple[str, ...], str] = {}
        modality = dominant_modality(
            (series.tags.get("Modality", ""), len(series.instances)) for series in study.series
        )
        planned = []
        for series in sorted(study.series, key=lambda s: s.tags.get("SeriesInstanceUID", "")):
            tags = {
                **study.tags,
                **series.tags,
                "Modality": modality,
                "SeriesModality": series.tags.get("Modality", ""),
            }
            for instance in series.instances:
                path = self.template.path({**tags, **instance.tags})
                parts = self._study_parts(path, tags, recorded, taken)
                parts = self._claim(parts, path.series_depth, SERIES_UID, tags, taken)
                planned.append(
                    Planned(
                        instance,
                        TreePath(parts, path.study_depth, path.series_depth, path.beside_depth),
                    )
                )
        return planned

    def _study_parts(
        self,
        path: TreePath,
        tags: dict[str, str],
        recorded: str | None,
        taken: dict[tuple[str, ...], str],
    ) -> tuple[str, ...]:
        if recorded is not None and path.study_depth:
            return (*recorded.split("/"), *path.parts[path.study_depth :])
        return self._claim(path.parts, path.study_depth, STUDY_UID, tags, taken)

    def _claim(
        self,
        parts: tuple[str, ...],
        depth: int,
        level: int,
        tags: dict[str, str],
        taken: dict[tuple[str, ...], str],
    ) -> tuple[str, ...]:
        if not depth:
            return parts
        uid = tags["StudyInstanceUID" if level == STUDY_UID else "SeriesInstanceUID"]
        own = (*parts[: depth - 1], marked(parts[depth - 1], uid), *parts[depth:])
        for candidate in (own, parts):
            folder = candidate[:depth]
            if folder not in taken:
                taken[folder] = self._owner(self.below(*folder), level) or ""
            if taken[folder] == uid:
                return candidate
        if taken[parts[:depth]]:
            taken[own[:depth]] = uid
            return own
        taken[parts[:depth]] = uid
        return parts

    def _owner(self, folder: Path, level: int) -> str | None:
        """The UID in the first DICOM file below a folder; none if there is no such file."""
        for path in _files(folder):
            with contextlib.suppress(UnreadableHeaderError, OSError), path.open("rb") as file:
                value = read_elements(file.read(HEADER_BYTES), {level}).get(level)
                if value:
                    return value.rstrip(b"\0 ").decode("ascii", "replace")
        return None

    def look(self, planned: list[Planned]) -> Result:
        """Tell what is there, by name and size, without writing."""
        result = Result(study_folder(planned), len(planned))
        for item in planned:
            with contextlib.suppress(OSError):
                found = self.below(*item.path.parts).lstat()
                if stat.S_ISREG(found.st_mode) and found.st_size == item.instance.size:
                    result.present += 1
        return result

    def write(self, planned: list[Planned], read: Callable[[str], bytes]) -> Result:
        """Write what is missing, and sync it to the disk before returning.

        A file that is there with the same bytes is left alone. One with other bytes is left alone,
        too, and reported: a person has to decide which of the two is right.

        Args:
            planned: The instances of a study, from `plan`.
            read: Gives the file of an instance by Orthanc's identifier.

        Raises:
            TreeProblemError: The tree is full, read-only, not permitted or not there.
        """
        result = Result(study_folder(planned), len(planned))
        changed: set[Path] = set()
        where = ""
        counting = threading.Lock()

        def one(item: Planned) -> None:
            written, reason = self._write_instance(item, read)
            with counting:
                result.note(item, written, reason)

        threads = ThreadPoolExecutor(WRITERS, thread_name_prefix="tree")
        try:
            for items in _apart(planned):
                for item in items:
                    where = str(item.path)
                    self._make_place(item.path, changed)
                under_way = [threads.submit(one, item) for item in items]
                for item, done in zip(items, under_way, strict=True):
                    where = str(item.path)
                    done.result()
            for folder in changed:
                sync_directory(folder)
        except OSError as error:
            raise self.problem(error, where, result) from error
        finally:
            threads.shutdown(cancel_futures=True)
        return result

    def _make_place(self, path: TreePath, changed: set[Path]) -> None:
        folder = self.below(*path.parts[:-1])
        if folder not in changed:
            self._make_folders(path)
            remove_leftovers(folder)
            changed.add(folder)

    def _write_instance(
        self, item: Planned, read: Callable[[str], bytes]
    ) -> tuple[bool, str | None]:
        """Write a file where there is none; returns whether it did, or why it may not."""
        path = self.below(*item.path.parts)
        data = read(item.instance.id)
        if not is_deidentified(data):
            return False, "(0012,0062) is not YES; the instance was not written"
        if not os.path.lexists(path):
            self._write_file(path, data)
            return True, None
        if not _holds(path, data):
            return False, OTHER_FILE
        return False, None

    def _make_folders(self, path: TreePath) -> None:
        for depth in range(1, len(path.parts)):
            self._make_folder(self.below(*path.parts[:depth]), self.directory_mode)
        if path.beside_depth is not None:
            beside = self.below(*path.parts[: path.beside_depth])
            self._make_folder(beside / "RawData", self.directory_mode)
            self._make_folder(beside / "Analysis", self.directory_mode | stat.S_ISGID)

    def _make_folder(self, folder: Path, mode: int) -> None:
        try:
            folder.mkdir(mode & 0o777)
        except FileExistsError:
            if not folder.is_dir():
                raise
            return
        # A chmod would take setgid away from a folder whose group is not ours, so only if needed.
        if stat.S_IMODE(folder.stat().st_mode) != mode:
            folder.chmod(mode)
            if stat.S_IMODE(folder.stat().st_mode) != mode:
                folder.rmdir()
                raise OSError(errno.EPERM, "the mode of a folder cannot be set")
        sync_directory(folder.parent)

    def _write_file(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f".orthanc-{secrets.token_hex(8)}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), self.file_mode)
                os.fsync(file.fileno())
            temporary.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def problem(self, error: OSError, where: str, result: Result) -> TreeProblemError:
        """Tell what an error below the root means, and what to do."""
        code = error.errno or 0
        if code in _FULL:
            advice = "the tree is full; free space or enlarge it"
        elif code == errno.ENOENT and not self.root.is_dir():
            advice = f"the root {self.root} is not there; mount it"
        elif code in _DENIED:
            advice = (
                f"the account {os.geteuid()}:{os.getegid()} may not write there; set owner, group "
                "(the account must belong to the group of a setgid folder) and mode"
            )
        else:
            advice = "look at the disk and its mount"
        reason = os.strerror(code) if code else type(error).__name__
        stops_all = code in _TREE_ERRORS or not os.access(self.root, os.W_OK | os.X_OK)
        message = f"cannot write below {self.root}: {reason}: {advice}. Writing resumes by itself"
        result.failed.append({"instance": "", "path": where, "reason": reason})
        return TreeProblemError(message, stops_all=stops_all, result=result)


def _apart(planned: list[Planned]) -> tuple[list[Planned], list[Planned]]:
    """Put what would have the name of an earlier one into a second list.

    It is written when the first one is there, and compared with it.
    """
    firsts: dict[tuple[str, ...], Planned] = {}
    for item in planned:
        firsts.setdefault(item.path.parts, item)
    return list(firsts.values()), [one for one in planned if firsts[one.path.parts] is not one]


def study_folder(planned: list[Planned]) -> str:
    """The study's folder, or what all its files share if the template gives it none of its own."""
    if not planned:
        return ""
    path = planned[0].path
    return "/".join(path.parts[: path.study_depth or path.series_depth - 1 or 1])


def _files(folder: Path) -> Iterator[Path]:
    """The files that the writer may have put below a folder, in the order of their names."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if n not in {"RawData", "Analysis"})
        yield from (Path(where, name) for name in sorted(names) if not name.startswith("."))


def _holds(path: Path, data: bytes) -> bool:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size != len(data):
        return False
    return path.read_bytes() == data


def sync_directory(folder: Path) -> None:
    """Make sure that what was made or removed in a folder outlives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files of a process that was killed, from one folder."""
    for path in folder.glob(".orthanc-*.part"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
