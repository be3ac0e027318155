# SPDX-License-Identifier: GPL-3.0-or-later
"""De-identify studies of a tree of files into another tree: a whole study, or nothing of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orthanc_deid.archive import Outcome
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
from orthanc_deid.subject import Subject

PARTIAL: Final = ".orthanc-deid-"


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


def reason_of(error: Exception) -> str:
    """Say why a file is not in the output."""
    if isinstance(error, OSError):
        return f"it cannot be read or written: {error.strerror}"
    return str(error)


@dataclass(slots=True)
class TreeDeidentifier:
    """De-identifies studies of one tree into another.

    Attributes:
        in_dir: read, never written.
        out_dir: where the output goes, in the same shape.
        engine: does the work.
        crosswalk: gives the subject of each study's patient.
    """

    in_dir: Path
    out_dir: Path
    engine: Engine
    crosswalk: Crosswalk

    def subject(self, paths: Sequence[Path]) -> Subject:
        """Return the subject of a study, made now if its patient is new.

        Raises:
            DeidError, OSError: it has none.
        """
        return self.subject_of(self.identity(paths[0]), paths)

    def new_patient_id(self, identity: Identity) -> str:
        """Return the Patient ID in the output of a patient whose studies came there."""
        patient = Patient.of(identity)
        found = self.crosswalk.subject(patient.patient_id, patient.issuer, patient.accession)
        return found.patient_id

    def identity(self, path: Path) -> Identity:
        """Read who and what a file is.

        Raises:
            DeidError, OSError: it cannot be told.
        """
        return read_identity((self.in_dir / path).read_bytes())

    def run(self, study_id: int, paths: Sequence[Path]) -> Outcome:
        """De-identify a study, and put all of it into its place in the output.

        Args:
            study_id: its number in the run, which tells its partial output from that of others.
            paths: its files, relative to the tree.
        """
        study = _Study(self, self.out_dir / f"{PARTIAL}{study_id}")
        try:
            study.run(paths)
        except (DeidError, OSError) as error:
            held = f"its study is held back: {reason_of(error)}"
            failed = {path: told for path, told in study.verdicts.items() if told[0] == "failed"}
            verdicts = dict.fromkeys(paths, ("failed", held)) | failed
            return Outcome({}, verdicts, reason_of(error))
        finally:
            shutil.rmtree(study.partial, ignore_errors=True)
        return Outcome(study.targets, study.verdicts)

    def subject_of(self, identity: Identity, paths: Sequence[Path]) -> Subject:
        """Return the subject of a study, by one of its instances and all its files."""
        modifiers = self.engine.profile.number_modifiers
        keywords = self.crosswalk.numbering.keywords | keywords_of(modifiers)
        samples = [
            read_sample((self.in_dir / path).read_bytes(), keywords)
            for path in (self._one_of_each_series(paths) if keywords else ())
        ]
        first = Patient.of(identity)
        return self.crosswalk.subject(
            first.patient_id,
            first.issuer,
            first.accession,
            samples=samples,
            modifier=modifier_of(modifiers, samples),
        )

    def _one_of_each_series(self, paths: Sequence[Path]) -> list[Path]:
        series: dict[str, Path] = {}
        for path in paths:
            series.setdefault(self.identity(path).series_instance_uid, path)
        return list(series.values())


@dataclass(slots=True)
class _Study:
    """One study under work.

    Attributes:
        partial: where its output lies until all of it is there.
        targets: files of the input, and where in the output they come to.
        verdicts: verdict and reason of those that do not come into the output.
    """

    tree: TreeDeidentifier
    partial: Path
    targets: dict[Path, Path] = field(default_factory=dict)
    verdicts: dict[Path, tuple[str, str]] = field(default_factory=dict)
    _taken: set[Path] = field(default_factory=set)

    def run(self, paths: Sequence[Path]) -> None:
        identities = [(path, self._identity(path)) for path in paths]
        if len({identity.patient_id for _, identity in identities}) > 1:
            raise Quarantine(
                "two-patients",
                "its instances name more than one patient; correct PatientID at the source",
            )
        subject = self.tree.subject_of(identities[0][1], paths)
        self.tree.crosswalk.demand_same({Patient.of(identity) for _, identity in identities})
        terms = frozenset().union(*(identity.identifiers for _, identity in identities))
        known = union(frozenset(identity.known for _, identity in identities))
        # What a run left that was killed.
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir()
        for path, identity in identities:
            try:
                data = (self.tree.in_dir / path).read_bytes()
                output = self.tree.engine.deidentify(data, subject, terms, known)
                self._add(path, _new_path(path, identity, output, subject, terms), output)
            except Dropped as reason:
                self.verdicts[path] = ("left out", str(reason))
            except (DeidError, OSError) as error:
                raise self._failed(path, error) from error
        demand_some_left(len(self.targets))
        self._put_in_place()

    def _identity(self, path: Path) -> Identity:
        try:
            return self.tree.identity(path)
        except (DeidError, OSError) as error:
            raise self._failed(path, error) from error

    def _failed(self, path: Path, error: Exception) -> DeidError:
        self.verdicts[path] = ("failed", reason_of(error))
        return DeidError(f"{path}: {reason_of(error)}")

    def _add(self, path: Path, target: Path, output: Output) -> None:
        if target in self._taken:
            raise Quarantine("name-clash", "another file comes to the same new name")
        self._taken.add(target)
        with (self.partial / str(len(self.targets))).open("xb") as file:
            file.write(output.data)
            file.flush()
            os.fsync(file.fileno())
        self.targets[path] = target

    def _put_in_place(self) -> None:
        folders = set()
        for number, target in enumerate(self.targets.values()):
            place = self.tree.out_dir / target
            place.parent.mkdir(parents=True, exist_ok=True)
            (self.partial / str(number)).replace(place)
            folders.add(place.parent)
        for folder in folders:
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
