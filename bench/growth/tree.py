# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree of Disk as more and more files are in it."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import dcmread

from disk_tree import DEFAULT_PSEUDONYM, DEFAULT_TEMPLATE, parse_template
from disk_writer import Instance, Series, Study, Tree
from speed.series import sr

from .curve import Curve, usual

_INSTANCES: Final = 20  # of a study
_FILLED: Final = 100  # of a study that was there before
_ROUNDS: Final = 15


def measure(sizes: Sequence[int], progress: Callable[[str], None]) -> Curve:
    """Measure what an instance of a new study costs where so many files are."""
    costs: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="bench-tree-") as root:
        tree = Tree(Path(root), parse_template(DEFAULT_TEMPLATE, DEFAULT_PSEUDONYM))
        numbers = itertools.count(1)
        files = 0
        for size in sizes:
            progress(f"tree of {size:,} files")
            while files < size:
                files += _fill(tree, next(numbers))
            for name, cost in _costs(tree, numbers).items():
                costs[name].append(cost)
        progress("removing the tree")
    return Curve("tree of Disk", "files", sizes, costs)


def _fill(tree: Tree, number: int) -> int:
    """Make the empty files of a study, with the names that the writer gives."""
    folders: set[Path] = set()
    for item in tree.plan(_study(number, _FILLED, 0)):
        path = tree.below(*item.path.parts)
        if path.parent not in folders:
            path.parent.mkdir(parents=True)
            folders.add(path.parent)
        path.touch()
    return _FILLED


def _costs(tree: Tree, numbers: Iterator[int]) -> dict[str, float]:
    plain, written, looked = [], [], []
    for _ in range(_ROUNDS):
        number = next(numbers)
        data = _instance(number)
        study = _study(number, _INSTANCES, len(data))
        start = time.perf_counter()
        planned = tree.plan(study)
        done = tree.write(planned, {item.instance.id: data for item in planned}.__getitem__)
        written.append(time.perf_counter() - start)
        start = time.perf_counter()
        found = tree.look(tree.plan(study))
        looked.append(time.perf_counter() - start)
        if (done.written, found.present) != (_INSTANCES, _INSTANCES):
            raise RuntimeError("the writer of the tree left instances out")
        start = time.perf_counter()
        _write_plainly(tree.root / "plain", data)
        plain.append(time.perf_counter() - start)
    return {
        "an instance written and synced": usual(written) / _INSTANCES,
        "an instance looked for": usual(looked) / _INSTANCES,
        "peer: a file written and synced": usual(plain) / _INSTANCES,
    }


def _write_plainly(folder: Path, data: bytes) -> None:
    """Write as many files as a study has, each synced: what the file system itself takes."""
    folder.mkdir(exist_ok=True)
    for number in range(_INSTANCES):
        with (folder / f"{number}.dcm").open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _instance(number: int) -> bytes:
    """Return a file as all instances of a study have it; its UIDs tell whose a folder is."""
    made = dcmread(BytesIO(sr(0)))
    made.StudyInstanceUID, made.SeriesInstanceUID = f"2.25.{number}", f"2.25.{number}.1"
    made.PatientIdentityRemoved = "YES"
    buffer = BytesIO()
    made.save_as(buffer)
    return buffer.getvalue()


def _study(number: int, instances: int, size: int) -> Study:
    uid = f"2.25.{number}"
    tags = {
        "PatientName": f"BENCH^ID{number:06d}^^^",
        "StudyInstanceUID": uid,
        "StudyDate": "20240102",
        "StudyTime": "101112.5",
    }
    made = tuple(
        Instance(
            f"{number}-{at}",
            size,
            {"SOPInstanceUID": f"{uid}.{at}", "InstanceNumber": str(at + 1)},
        )
        for at in range(instances)
    )
    series = {
        "SeriesInstanceUID": f"{uid}.1",
        "SeriesNumber": "3",
        "SeriesDescription": "Axial",
        "Modality": "CT",
    }
    return Study(f"study-{number}", tags, (Series(series, made),))
