# SPDX-License-Identifier: GPL-3.0-or-later
"""Another Orthanc as a destination, over HTTPS: it tells which instances it holds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orthanc_deid.orthanc_client import CannotWithdrawError, OrthancClient, TransientError

CONNECTIONS = 4


class OrthancDestination:
    """Another Orthanc, such as Anon."""

    def __init__(self, client: OrthancClient) -> None:
        self.name = client.name
        self._client = client
        # However many studies a worker has in its hands.
        self._sending = threading.BoundedSemaphore(CONNECTIONS)

    def check(self) -> None:
        """Raise `TransientError` if the Orthanc or its database does not answer."""
        self._client.check()

    def deliver(
        self, study_instance_uid: str, files: Mapping[str, Path], going_on: Callable[[], None]
    ) -> None:
        """Send what is not there yet, then compare the whole study with what is there."""

        def send(path: Path) -> None:
            with self._sending:
                going_on()
                self._client.upload(path.read_bytes())

        present = self._client.find_instances(study_instance_uid)
        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=self.name) as threads:
            for _ in threads.map(send, [path for uid, path in files.items() if uid not in present]):
                pass
        # By the SOP Instance UIDs that it tells, since it may have changed what it took.
        if missing := self._client.missing(study_instance_uid, files.keys()):
            raise TransientError(
                f"{self.name} took {len(files)} instances, but {len(missing)} are not there"
            )

    def withdraw(self, study_instance_uid: str) -> None:
        """Delete the study, and look whether it is gone."""
        for orthanc_id in self._client.find_studies(study_instance_uid):
            self._remove(orthanc_id)
        self._demand_gone(study_instance_uid)

    def _remove(self, orthanc_id: str) -> None:
        self._client.delete_study(orthanc_id)

    def _demand_gone(self, study_instance_uid: str) -> None:
        if self._client.find_studies(study_instance_uid):
            raise TransientError(f"{self.name} still has the study that was to be deleted")


class ReviewDestination(OrthancDestination):
    """The PHI Orthanc, where people look at an anonymized study before it goes out."""

    def _remove(self, orthanc_id: str) -> None:
        self._client.delete_copy(orthanc_id)


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

    def withdraw(self, study_instance_uid: str) -> None:
        """Delete the study and its files in the tree, and look whether both are gone."""
        left: list[str] = []
        for orthanc_id in self._client.find_studies(study_instance_uid):
            left += self._client.remove_from_disk(orthanc_id)
        self._demand_gone(study_instance_uid)
        if left:
            raise CannotWithdrawError(
                f"{self.name}: the study is deleted, but people put files beside it into the tree; "
                f"look at {', '.join(left)} and delete what came from it"
            )
