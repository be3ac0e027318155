# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a test study: to PHI, to every destination, and away again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.imaging.orthanc.plugins.module_utils._orthanc_client import (
    OrthancClient,
    OrthancError,
    RefusedError,
    poll,
)
from ansible_collections.imaging.orthanc.plugins.module_utils._study import (
    PhiStudy,
    StudyError,
)
from ansible_collections.imaging.orthanc.plugins.module_utils._test_study import StudyForTest

NOTE = "round trip of a test study"
FOR_A_PERSON = frozenset({"stable", "review"})
REMOVAL_SECONDS = 120.0


class RoundTripError(Exception):
    """The study did not come through as it should; the message says where and what to do."""


@dataclass
class RoundTrip:
    """One test study on its way.

    Args:
        phi: the PHI Orthanc, with an account that may upload, decide about studies and delete.
        destinations: by name, the Orthancs at which the study is looked at.
        sent: the study.
        timeout: how many seconds PHI may take until the study is delivered.

    Attributes:
        seconds: how long each step took.
        told: what PHI said of the study last.
    """

    phi: OrthancClient
    destinations: dict[str, OrthancClient]
    sent: StudyForTest
    timeout: float
    seconds: dict[str, float] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    orthanc_id: str = ""

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - begun, 2)

    def go(self) -> None:
        """Send the study and follow it.

        Raises:
            RoundTripError, OrthancError, StudyError: it did not arrive everywhere as it should.
        """
        with self._step("send"):
            self._send()
        with self._step("deliver"):
            self._follow()
        for name, client in self.destinations.items():
            with self._step(f"check {name}"):
                self._check(name, client)

    def remove(self) -> None:
        """Take the study back from everywhere, and look whether it is gone.

        Raises:
            RoundTripError, OrthancError, StudyError: something of it is left.
        """
        if not self.orthanc_id:
            return
        with self._step("remove"):
            try:
                self._withdraw()
            finally:
                # A worker that cannot reach a destination goes on by itself once it can.
                self.phi.delete(f"/studies/{self.orthanc_id}")
            for name, client in {"PHI": self.phi, **self.destinations}.items():
                for uid in (self.sent.study_instance_uid, *self._new_uids):
                    if client.lookup_study(uid):
                        raise RoundTripError(f"{name} still holds the test study. Delete it there.")

    @property
    def _new_uids(self) -> list[str]:
        """The StudyInstanceUIDs that went out, one for each project."""
        return [str(uid) for uid in self.told.get("anonymous_study_uids", [])]

    def _send(self) -> None:
        for dicom in self.sent.files:
            answer = self.phi.upload(dicom)
            if answer.get("Status") != "Success":
                raise RoundTripError(
                    f"PHI did not store the test study: it answered {answer.get('Status')}. "
                    "See its log and its filters."
                )
            self.orthanc_id = str(answer["ParentStudy"])

    def _follow(self) -> None:
        """Wait until the study is delivered; do what waits for a person."""
        study = PhiStudy(self.phi, self.orthanc_id)
        deadline = time.monotonic() + self.timeout
        for _attempt in poll(deadline, 0.5):
            self.told = study.look()
            state = self.told["state"]
            if state == "delivered":
                return
            if state in FOR_A_PERSON:
                study.ask("anonymize" if state == "stable" else "release", note=NOTE)
            elif state == "quarantined":
                raise RoundTripError(f"The test study is in quarantine: {self.told['reason']}.")
        reason = self.told.get("reason") or "see whether the workers run"
        raise RoundTripError(
            f"After {self.timeout:g} s the test study is still {self.told.get('state')}: {reason}."
        )

    def _check(self, name: str, client: OrthancClient) -> None:
        """Look at every file of the study at a destination."""
        found = [client.lookup_study(uid) for uid in self._new_uids]
        if not any(found):
            raise RoundTripError(f"PHI says that the test study is delivered; {name} has it not.")
        for orthanc_id in filter(None, found):
            self._check_study(name, client, orthanc_id)

    def _check_study(self, name: str, client: OrthancClient, found: str) -> None:
        instances = [item["ID"] for item in client.get(f"/studies/{found}/instances")]
        if len(instances) != len(self.sent.files):
            raise RoundTripError(
                f"{name} has {len(instances)} of the {len(self.sent.files)} instances."
            )
        for instance in instances:
            self._demand_clean(name, client.download(f"/instances/{instance}/file"))
            marked = client.download(f"/instances/{instance}/content/0012-0062")
            if marked.strip(b" \0") != b"YES":
                raise RoundTripError(f"{name} has an instance that does not say it is anonymized.")
        if _is_disk(client):
            self._check_tree(name, client, found)

    def _demand_clean(self, name: str, content: bytes) -> None:
        folded = content.lower()
        survived = [text for text in self.sent.planted if text.lower().encode() in folded]
        if survived:
            raise RoundTripError(
                f"{len(survived)} of {len(self.sent.planted)} planted identifiers are in what "
                f"{name} has, such as {survived[0]}. Stop the workers, and report this."
            )

    def _check_tree(self, name: str, client: OrthancClient, orthanc_id: str) -> None:
        told = client.get(f"/disk/studies/{orthanc_id}")
        if told["present"] != len(self.sent.files):
            raise RoundTripError(
                f"{name} has {told['present']} of {len(self.sent.files)} files in its tree."
            )
        self._demand_clean(f"the tree of {name}", json.dumps(told).encode())

    def _withdraw(self) -> None:
        study = PhiStudy(self.phi, self.orthanc_id)
        if study.look()["state"] == "unknown":
            return
        study.ask("withdraw", note=NOTE)
        self.told = {**self.told, **study.wait(REMOVAL_SECONDS)}
        left = [row["destination"] for row in self.told["destinations"] if row["state"] == "left"]
        if left:
            raise RoundTripError(
                f"The test study cannot be taken back from {', '.join(left)}. Delete it there; its "
                f"StudyInstanceUID is {', '.join(self._new_uids)}."
            )


def _is_disk(client: OrthancClient) -> bool:
    try:
        return bool(client.get("/deployment")["kind"] == "disk")
    except (RefusedError, KeyError):
        return False


ERRORS = (RoundTripError, OrthancError, StudyError)
"""What a round trip may end with."""
