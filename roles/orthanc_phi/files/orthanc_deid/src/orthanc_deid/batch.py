# SPDX-License-Identifier: GPL-3.0-or-later
"""De-identify a tree of files: whole studies, or nothing of them."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orthanc_deid.cleaning import union
from orthanc_deid.conditions import read_sample
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.engine import Engine, Output
from orthanc_deid.errors import DeidError, Dropped, Quarantine
from orthanc_deid.identity import Identity, read_identity
from orthanc_deid.leaks import holds_term
from orthanc_deid.modifiers import keywords_of, modifier_of
from orthanc_deid.object_kinds import demand_some_left
from orthanc_deid.patient import Patient
from orthanc_deid.report import Record
from orthanc_deid.subject import Subject

Progress = Callable[[str, int, int], None]
_Study = list[tuple[Path, Identity]]
_PARTIAL: Final = ".orthanc-deid-"


@dataclass(slots=True)
class Summary:
    """What became of the files.

    Attributes:
        written: number of instances in the output.
        failed: file (relative to the input) and the reason why it is not in the output.
        left_out: file and reason, for what has no place in the output and is no failure.
        records: what was done, by the new Study Instance UID.
        new_uids, new_patients: old to new, of what was written. As secret as the input.
    """

    written: int = 0
    failed: dict[Path, str] = field(default_factory=dict)
    left_out: dict[Path, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    new_uids: dict[str, str] = field(default_factory=dict)
    new_patients: dict[str, str] = field(default_factory=dict)


def check_directories(in_dir: Path, out_dir: Path) -> None:
    """Refuse directories that would mix input and output.

    Raises:
        DeidError: with what to change.
    """
    if not in_dir.is_dir():
        raise DeidError(f"IN_DIR {in_dir} is no directory; name the one that holds the studies")
    if out_dir.exists() and not out_dir.is_dir():
        raise DeidError(f"OUT_DIR {out_dir} is a file; name a directory")
    inner, outer = in_dir.resolve(), out_dir.resolve()
    if inner == outer or inner in outer.parents or outer in inner.parents:
        raise DeidError(
            f"IN_DIR {in_dir} and OUT_DIR {out_dir} lie in one another; "
            "name an OUT_DIR outside, so that no original is overwritten or served"
        )


def run(
    in_dir: Path,
    out_dir: Path,
    engine: Engine,
    crosswalk: Crosswalk,
    progress: Progress = lambda _step, _done, _total: None,
) -> Summary:
    """De-identify every study in a tree of files into another tree of the same shape.

    Of a study with an instance that fails, nothing is written. Everything else goes on.

    Args:
        in_dir: read, never written.
        out_dir: made where missing.
        engine: does the work.
        crosswalk: gives the subject of each study's patient.
        progress: is told the step, and how many of how many files are done.

    Raises:
        DeidError: the directories cannot be used.
    """
    check_directories(in_dir, out_dir)
    job = _Job(in_dir, out_dir, engine, crosswalk)
    studies = job.read_studies(sorted(_files(in_dir)), progress)
    out_dir.mkdir(parents=True, exist_ok=True)
    total = sum(map(len, studies.values()))
    done = 0
    for study in studies.values():
        try:
            job.study(study)
        except DeidError as error:
            for path, _ in study:
                job.summary.failed.setdefault(path, f"its study is held back: {error}")
        done += len(study)
        progress("de-identify", done, total)
    return job.summary


def _files(in_dir: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(in_dir):
        for name in names:
            yield (Path(folder) / name).relative_to(in_dir)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read or written: {error.strerror}"
    return str(error)


@dataclass(slots=True)
class _Job:
    in_dir: Path
    out_dir: Path
    engine: Engine
    crosswalk: Crosswalk
    summary: Summary = field(default_factory=Summary)

    def read_studies(self, paths: list[Path], progress: Progress) -> dict[str, _Study]:
        studies: dict[str, _Study] = defaultdict(list)
        for number, path in enumerate(paths, 1):
            if path.name.upper() == "DICOMDIR":
                self.summary.left_out[path] = "a DICOMDIR repeats the names of patients"
            else:
                try:
                    identity = read_identity((self.in_dir / path).read_bytes())
                except (DeidError, OSError) as error:
                    self.summary.failed[path] = _reason(error)
                else:
                    studies[identity.study_instance_uid].append((path, identity))
            progress("read", number, len(paths))
        return studies

    def study(self, study: _Study) -> None:
        if len({identity.patient_id for _, identity in study}) > 1:
            raise Quarantine(
                "two-patients",
                "its instances name more than one patient; correct PatientID at the source",
            )
        subject = self._subject(study)
        new_uids: dict[str, str] = {}
        terms = frozenset().union(*(identity.identifiers for _, identity in study))
        known = union(frozenset(identity.known for _, identity in study))
        written: dict[Path, Path] = {}
        records: list[Record] = []
        dropped: dict[Path, Dropped] = {}
        with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=self.out_dir) as partial:
            for path, identity in study:
                try:
                    output = self.engine.deidentify(
                        (self.in_dir / path).read_bytes(), subject, terms, known
                    )
                    target = self.out_dir / _new_path(path, identity, output, subject, terms)
                    if target in written:
                        raise Quarantine("name-clash", "another file comes to the same new name")
                    written[target] = Path(partial) / str(len(written))
                    _write(written[target], output.data)
                except Dropped as reason:
                    dropped[path] = reason
                    continue
                except (DeidError, OSError) as error:
                    self.summary.failed[path] = _reason(error)
                    raise DeidError(f"{path}: {_reason(error)}") from error
                records.append(output.record)
                new_uids.update(output.uid_mapping)
            demand_some_left(len(written))
            _put_in_place(written)
        self.summary.left_out.update({path: str(reason) for path, reason in dropped.items()})
        self.summary.new_uids.update(new_uids)
        self.summary.new_patients[study[0][1].patient_id] = subject.patient_id
        self.summary.written += len(written)
        merged = self.summary.records.setdefault(output.study_instance_uid, records[0])
        for record in records[1:]:
            merged.merge(record)
        merged.dropped.update(reason.code for reason in dropped.values())

    def _subject(self, study: _Study) -> Subject:
        modifiers = self.engine.profile.number_modifiers
        series = {identity.series_instance_uid: path for path, identity in reversed(study)}
        samples = [
            read_sample((self.in_dir / path).read_bytes(), keywords_of(modifiers))
            for path in (series.values() if modifiers else ())
        ]
        first = Patient.of(study[0][1])
        subject = self.crosswalk.subject(
            first.patient_id,
            first.issuer,
            first.accession,
            samples=samples,
            modifier=modifier_of(modifiers, samples),
        )
        patients = {Patient.of(identity) for _, identity in study}
        self.crosswalk.demand_same(patients, subject.modifier)
        return subject


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(targets: dict[Path, Path]) -> None:
    for target, written in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        written.replace(target)
    for folder in {target.parent for target in targets}:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _new_path(
    path: Path, identity: Identity, output: Output, subject: Subject, terms: frozenset[str]
) -> Path:
    """Return the path in the output: the same, but for parts that tell who the patient is."""
    new_uids = {
        identity.sop_instance_uid: output.sop_instance_uid,
        identity.series_instance_uid: output.series_instance_uid,
        identity.study_instance_uid: output.study_instance_uid,
    }
    parts = []
    for index, part in enumerate(path.parts):
        is_file = index == len(path.parts) - 1
        renamed = part
        for old, new in new_uids.items():
            renamed = renamed.replace(old, new)
        if holds_term("LO", part.encode("utf-8", "surrogateescape"), b"ISO_IR 192", terms):
            renamed = f"{output.sop_instance_uid}.dcm" if is_file else subject.patient_id
        parts.append(renamed)
    return Path(*parts)
