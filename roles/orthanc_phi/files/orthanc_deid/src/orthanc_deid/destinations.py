# SPDX-License-Identifier: GPL-3.0-or-later
"""Where anonymized studies go, and how it is made sure that they have arrived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from orthanc_deid.config import Config
from orthanc_deid.destination_config import (
    REVIEW,
    DestinationConfig,
    DicomNode,
    DicomWeb,
    Folder,
    Server,
)
from orthanc_deid.destinations_dicom import DicomDestination
from orthanc_deid.destinations_dicomweb import DicomWebDestination
from orthanc_deid.destinations_folder import FolderDestination
from orthanc_deid.destinations_orthanc import (
    OrthancDestination,
    OrthancDiskDestination,
    ReviewDestination,
)
from orthanc_deid.orthanc_client import OrthancClient
from orthanc_deid.storage_commitment import StorageCommitment


class Destination(Protocol):
    """One place that anonymized studies go to."""

    name: str

    def check(self) -> None:
        """Raise `TransientError` if the destination cannot be reached now."""

    def deliver(
        self, study_instance_uid: str, files: Mapping[str, Path], going_on: Callable[[], None]
    ) -> None:
        """Bring the files (by SOP Instance UID) of an anonymized study there, and verify them.

        Calls `going_on` before each file, which raises if the delivery has to stop.

        Raises:
            TransientError: not all of it is there yet.
            RefusedError: the destination does not take it.
        """

    def withdraw(self, study_instance_uid: str) -> None:
        """Take an anonymized study back, and verify that nothing of it is there any more.

        Raises:
            TransientError: it is, or may be, still there.
            CannotWithdrawError: only a person can take it, or the rest of it, back.
        """


def _open_orthanc(name: str, server: Server, _source: Server) -> Destination:
    return OrthancDestination(OrthancClient(name, server))


def _open_disk(name: str, server: Server, _source: Server) -> Destination:
    return OrthancDiskDestination(OrthancClient(name, server))


def _open_dicom(name: str, node: DicomNode, source: Server) -> Destination:
    if node.verify != "commitment":
        return DicomDestination(name, node)
    phi = OrthancClient("the PHI Orthanc", source)
    return DicomDestination(name, node, StorageCommitment(name, node.node, phi))


def _open_dicomweb(name: str, web: DicomWeb, _source: Server) -> Destination:
    return DicomWebDestination(name, web)


def _open_folder(name: str, folder: Folder, _source: Server) -> Destination:
    return FolderDestination(name, folder)


_OPENERS: Final[Mapping[str, Callable[[str, Any, Server], Destination]]] = {
    "orthanc": _open_orthanc,
    "orthanc_disk": _open_disk,
    "dicom": _open_dicom,
    "dicomweb": _open_dicomweb,
    "folder": _open_folder,
}


def wanted_destinations(config: Config) -> tuple[DestinationConfig, ...]:
    """Return where the studies go by the settings: back into PHI if they are not forwarded."""
    if config.forward:
        return config.destinations
    return (DestinationConfig(REVIEW, "orthanc", config.orthanc),)


def open_destinations(config: Config) -> list[Destination]:
    """Return the destinations by the settings, ready to be delivered to."""
    if not config.forward:
        return [open_review(config)]
    return [
        _OPENERS[one.kind](one.name, one.settings, config.orthanc)
        for one in wanted_destinations(config)
    ]


def open_review(config: Config) -> ReviewDestination:
    """Return where people look at a result before it goes out."""
    return ReviewDestination(OrthancClient(REVIEW, config.orthanc))
