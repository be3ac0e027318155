# SPDX-License-Identifier: GPL-3.0-or-later
"""Where anonymized studies go, and how it is made sure that they have arrived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from orthanc_deid.config import Config, DestinationConfig
from orthanc_deid.orthanc_client import OrthancClient, TransientError

CONNECTIONS = 4
REVIEW = "review"
"""The name of the PHI Orthanc as a destination, when studies are not forwarded."""


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


class OrthancDestination:
    """Another Orthanc, such as Anon."""

    def __init__(self, client: OrthancClient) -> None:
        self.name = client.name
        self._client = client

    def check(self) -> None:
        """Raise `TransientError` if the Orthanc or its database does not answer."""
        self._client.check()

    def deliver(
        self, study_instance_uid: str, files: Mapping[str, Path], going_on: Callable[[], None]
    ) -> None:
        """Send what is not there yet, then compare the whole study with what is there."""

        def send(path: Path) -> None:
            going_on()
            self._client.upload(path.read_bytes())

        present = self._client.sop_instance_uids(study_instance_uid)
        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=self.name) as threads:
            for _ in threads.map(send, [path for uid, path in files.items() if uid not in present]):
                pass
        missing = files.keys() - self._client.sop_instance_uids(study_instance_uid)
        if missing:
            raise TransientError(
                f"{self.name} took {len(files)} instances, but {len(missing)} are not there"
            )


class OrthancDiskDestination(OrthancDestination):
    """The Disk Orthanc, which has to write the study into its tree as well."""

    def deliver(
        self, study_instance_uid: str, files: Mapping[str, Path], going_on: Callable[[], None]
    ) -> None:
        """Send and compare as any Orthanc, then have the tree written and compare that."""
        super().deliver(study_instance_uid, files, going_on)
        for orthanc_id in self._client.find_studies(study_instance_uid):
            answer = self._client.write_study(orthanc_id)
            instances, present = answer.get("instances"), answer.get("present")
            if instances != present or not isinstance(present, int) or present < len(files):
                raise TransientError(
                    f"{self.name} has written {present} of {len(files)} instances into its tree"
                )


_KINDS: dict[str, type[OrthancDestination]] = {
    "orthanc": OrthancDestination,
    "orthanc_disk": OrthancDiskDestination,
}


def open_destinations(config: Config) -> list[Destination]:
    """Return where the studies go by the settings: back into PHI if they are not forwarded."""
    wanted = (
        config.destinations
        if config.forward
        else (DestinationConfig(name=REVIEW, kind="orthanc", server=config.orthanc),)
    )
    return [_KINDS[item.kind](OrthancClient(item.name, item.server)) for item in wanted]
