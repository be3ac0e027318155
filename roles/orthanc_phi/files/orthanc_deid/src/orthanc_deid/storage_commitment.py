# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage Commitment (PS3.4 annex J): a DICOM node takes the responsibility for instances.

The PHI Orthanc asks for it, since the node reports to an application entity that listens, by an
association of its own and perhaps much later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from orthanc_deid.orthanc_client import GoneError, OrthancClient, TransientError

REPORT_SECONDS: Final = 300.0
POLL_SECONDS: Final = 1.0


class Reference(NamedTuple):
    """An instance, by SOP Class UID and SOP Instance UID."""

    sop_class_uid: str
    sop_instance_uid: str


class StorageCommitment:
    """Asks one node, by the name that the PHI Orthanc has for it."""

    def __init__(self, name: str, node: str, orthanc: OrthancClient) -> None:
        self._name = name
        self._node = node
        self._orthanc = orthanc

    def demand(self, references: Iterable[Reference], going_on: Callable[[], None]) -> None:
        """Raise `TransientError` unless the node commits itself to all instances."""
        wanted = list(references)
        transaction = self._request(wanted)
        deadline = time.monotonic() + REPORT_SECONDS
        while (report := self._orthanc.commitment(transaction)).get("Status") == "Pending":
            if time.monotonic() > deadline:
                raise TransientError(
                    f"{self._name} has not reported on its Storage Commitment; can it call the PHI "
                    "Orthanc?"
                )
            going_on()
            time.sleep(POLL_SECONDS)
        committed = {item["SOPInstanceUID"] for item in report.get("Success", [])}
        missing = {one.sop_instance_uid for one in wanted} - committed
        if missing:
            raise TransientError(
                f"{self._name} does not commit itself to {len(missing)} of {len(wanted)} instances"
            )

    def _request(self, references: list[Reference]) -> str:
        try:
            return self._orthanc.request_commitment(self._node, references)
        except GoneError:
            raise TransientError(
                f"{self._name}: the PHI Orthanc knows no node {self._node}; name it in "
                "orthanc_phi_dicom_nodes"
            ) from None
        except TransientError as error:
            raise TransientError(
                f"{self._name} could not be asked for Storage Commitment: {error}"
            ) from None
