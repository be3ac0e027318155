# SPDX-License-Identifier: GPL-3.0-or-later
"""A small site between Orthancs in memory, with a real crosswalk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from orthanc_deid.admission import Admission
from orthanc_deid.anonymization import StudyRunner
from orthanc_deid.conditions import Conditions
from orthanc_deid.courier import Courier
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.destinations_orthanc import (
    OrthancDestination,
    OrthancDiskDestination,
    ReviewDestination,
)
from orthanc_deid.modifiers import NumberModifier
from orthanc_deid.schema import studies
from orthanc_deid.studies import Study
from orthanc_deid.study_deidentification import Deidentification

from .fake_orthanc import FakeOrthanc, fake_deidentification, file

TWO_FILES = file("MRN-1", "1.2", "1"), file("MRN-1", "1.2", "2", "seen MRN-1")
TWO_ANONYMIZED = [
    "DEMO_ID000001|anon.1.2|series|anon.1|",
    "DEMO_ID000001|anon.1.2|series|anon.2|seen ",
]


class Site:
    """A PHI, an Anon and a Disk Orthanc with a worker between them."""

    def __init__(self, url: sa.URL, spool: Path) -> None:
        self.phi, self.anon, self.disk = (FakeOrthanc(name) for name in ("phi", "anon", "disk"))
        self.crosswalk = Crosswalk(url, base_name="DEMO")
        self.url = url
        self.spool = spool
        self.stopping = False
        self.filters: dict[str, Conditions] = {}
        self.always_review = False
        self.root = "anon"
        self.number_modifiers: tuple[NumberModifier, ...] = ()
        self.queued: list[tuple[int, float]] = []
        self.admission = Admission(self.crosswalk.studies, self, automatic=True)

    def put(self, study_id: int, delay: float = 0) -> None:
        self.queued.append((study_id, delay))

    def admit(self) -> None:
        for found in self.phi.client().studies():
            self.admission.consider(found)

    def run(self, study_id: int = 1) -> float | None:
        runner = StudyRunner(
            crosswalk=self.crosswalk,
            source=self.phi.client(),
            deidentification=self.deidentification,
            courier=Courier(
                self.crosswalk.studies,
                [
                    OrthancDestination(self.anon.client()),
                    OrthancDiskDestination(self.disk.client()),
                ],
                review=ReviewDestination(self.phi.client("review")),
                filters=self.filters,
            ),
            always_review=self.always_review,
            spool_dir=self.spool,
            stopping=lambda: self.stopping,
        )
        return runner.run(study_id, job=7)

    def deidentification(self, profile: str | None) -> Deidentification:
        return replace(
            fake_deidentification(profile, self.root), number_modifiers=self.number_modifiers
        )

    def receive_and_run(self, *files: bytes) -> float | None:
        self.phi.store(*files)
        self.admit()
        return self.run()

    def study(self, study_id: int = 1) -> Study:
        found = self.crosswalk.studies.get(study_id)
        assert found is not None
        return found

    def record(self) -> dict[str, Any]:
        """What is kept of what was done to the only study."""
        with sa.create_engine(self.url).connect() as connection:
            return dict(connection.scalars(sa.select(studies.c.record)).one())
