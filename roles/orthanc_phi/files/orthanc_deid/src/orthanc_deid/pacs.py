# SPDX-License-Identifier: GPL-3.0-or-later
"""The DICOM nodes that studies are fetched from; the PHI Orthanc asks them for us."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orthanc_deid.config import PacsNode
from orthanc_deid.orthanc_client import OrthancClient

MOST: Final = 500
"""How many studies one query answers at most."""

ASKED: Final = (
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "StudyDate",
    "StudyDescription",
    "ModalitiesInStudy",
    "StudyInstanceUID",
    "NumberOfStudyRelatedInstances",
)


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study as a node says it has it; `expected` instances, if it says how many."""

    study_instance_uid: str
    patient_name: str
    patient_id: str
    accession: str
    study_date: str
    description: str
    modalities: str
    expected: int | None


class Pacs:
    """Asks nodes through the PHI Orthanc; raises `OrthancError` where that does not work."""

    def __init__(self, phi: OrthancClient, nodes: Iterable[PacsNode]) -> None:
        self._phi = phi
        self.nodes: Mapping[str, PacsNode] = {node.name: node for node in nodes}

    def find(self, node: str, query: Mapping[str, str]) -> list[FoundStudy]:
        """Return the studies that a node has, at most `MOST` + 1; `query` by DICOM's keywords."""
        content = {"Level": "Study", "Query": {**dict.fromkeys(ASKED, ""), **query}}
        answers = self._phi.query_node(node, content, MOST + 1)
        return [study for answer in answers if (study := _study(answer)).study_instance_uid]

    def retrieve(self, node: str, study_instance_uid: str) -> str:
        """Have a study brought to PHI; returns Orthanc's job."""
        return self._phi.retrieve(node, self.nodes[node].retrieve, study_instance_uid)

    def job(self, job: str) -> tuple[str, str]:
        """Return state and error of a job; raises `GoneError` where Orthanc has forgotten it."""
        told = self._phi.job(job)
        error = told.get("ErrorDetails") or told.get("ErrorDescription") or ""
        return str(told.get("State", "")), str(error)

    def arrived(self, study_instance_uid: str) -> int:
        """Return how many instances of a study PHI holds."""
        return len(self._phi.sop_instance_uids(study_instance_uid))


def _study(answer: Mapping[str, Any]) -> FoundStudy:
    def text(keyword: str) -> str:
        return str(answer.get(keyword) or "").replace("\0", "").strip()

    count = text("NumberOfStudyRelatedInstances")
    return FoundStudy(
        study_instance_uid=text("StudyInstanceUID"),
        patient_name=text("PatientName"),
        patient_id=text("PatientID"),
        accession=text("AccessionNumber"),
        study_date=text("StudyDate"),
        description=text("StudyDescription"),
        modalities=text("ModalitiesInStudy").replace("\\", " "),
        expected=int(count) if count.isascii() and count.isdecimal() else None,
    )
