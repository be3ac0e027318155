# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run over a directory tree is made with, the same in each process that takes part in it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orthanc_deid.archive import Archive
from orthanc_deid.batch import TreeDeidentifier
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.engine import Engine
from orthanc_deid.errors import DeidError
from orthanc_deid.keys import Keys
from orthanc_deid.numbering import Numbering
from orthanc_deid.profile import load_profile


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings of a run, as its command line gives them.

    Attributes:
        crosswalk: the database's address.
        secret_file: holds the secret that UIDs are made with.
    """

    in_dir: Path
    out_dir: Path
    profile: str
    keep_dates: bool
    secret_file: Path
    crosswalk: str
    project: str
    base_name: str
    subject_per: Literal["patient", "accession"]
    issuer: str

    def engine(self) -> Engine:
        """Return the engine.

        Raises:
            DeidError: the profile or the secret cannot be used.
        """
        profile = load_profile(self.profile, keep_dates=self.keep_dates)
        try:
            return Engine(profile, Keys.derive(self.secret_file.read_bytes().strip(), self.project))
        except OSError as error:
            raise DeidError(
                f"the secret cannot be read from {self.secret_file}: {error.strerror}"
            ) from error
        except ValueError as error:
            raise DeidError(f"{self.secret_file}: {error}") from error

    def open_crosswalk(self) -> Crosswalk:
        """Return the crosswalk."""
        numbering = Numbering(subject_per=self.subject_per, issuer=self.issuer)
        return Crosswalk(
            self.crosswalk, base_name=self.base_name, project=self.project, numbering=numbering
        )

    def digest(self, engine: Engine) -> str:
        """Return what tells this run from one that would write something else or elsewhere."""
        decides = [
            str(self.in_dir.resolve()),
            str(self.out_dir.resolve()),
            engine.profile.digest,
            engine.map_uid("1.2.3"),  # of the secret and the project, and tells neither
            self.base_name,
            self.subject_per,
            self.issuer,
        ]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


class Workplace:
    """What one process works with: engine, crosswalk, the run and its two trees."""

    def __init__(self, settings: RunSettings) -> None:
        engine = settings.engine()
        self.crosswalk = settings.open_crosswalk()
        self.archive = Archive(self.crosswalk.engine, settings.digest(engine))
        self.tree = TreeDeidentifier(settings.in_dir, settings.out_dir, engine, self.crosswalk)

    def do(self, study_id: int) -> None:
        """De-identify a study of the run, unless that is done."""
        if self.archive.is_waiting(study_id):
            paths = self.archive.files(study_id)
            self.archive.end(study_id, self.tree.run(study_id, paths))

    def close(self) -> None:
        """Close the connections to the database."""
        self.crosswalk.close()
