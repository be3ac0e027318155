# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's three Orthancs, as a scanner and as an administrator see them."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.presentation import build_context

SUCCESS = 0x0000


class SiteError(Exception):
    """The site did not do what it should; the message says what was seen and what to do."""


@dataclass(frozen=True)
class Site:
    """Where the demo's Orthancs are: what `inventories/demo` says."""

    config_dir: Path
    tree_dir: Path
    dicom_port: int = 4242
    front_port: int = 8443
    http_ports: tuple[tuple[str, int], ...] = (("phi", 8042), ("anon", 8043), ("disk", 8044))

    def client(self, kind: str) -> httpx.Client:
        """Return a client of one Orthanc, as its administrator."""
        password = (self.config_dir / kind / "secrets/administrator").read_text().strip()
        trust = ssl.create_default_context(cafile=self.config_dir / "ca/ca.crt")
        port = dict(self.http_ports)[kind]
        return httpx.Client(
            base_url=f"https://localhost:{port}",
            auth=("administrator", password),
            verify=trust,
            timeout=30,
        )

    def send(self, instances: Iterable[Dataset]) -> None:
        """Send instances to the PHI Orthanc by C-STORE, as the node SCANNER.

        Raises:
            SiteError: the PHI Orthanc refused the association or an instance.
        """
        instances = list(instances)
        scanner = AE(ae_title="SCANNER")
        scanner.requested_contexts = [
            build_context(sop_class, syntax)
            for sop_class, syntax in sorted(
                {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in instances}
            )
        ]
        association = scanner.associate("127.0.0.1", self.dicom_port, ae_title="PHI")
        if not association.is_established:
            raise SiteError(
                f"the PHI Orthanc refuses the node SCANNER at port {self.dicom_port}: "
                "see `docker logs orthanc-phi`"
            )
        try:
            for instance in instances:
                answer = association.send_c_store(instance)
                if getattr(answer, "Status", None) != SUCCESS:
                    status = getattr(answer, "Status", None)
                    told = "no answer" if status is None else f"status 0x{status:04X}"
                    raise SiteError(f"the PHI Orthanc did not store an instance: {told}")
        finally:
            association.release()


def find_study(orthanc: httpx.Client, study_instance_uid: str) -> str | None:
    """Return Orthanc's identifier of a study, or None where it has none."""
    query = {"Level": "Study", "Query": {"StudyInstanceUID": study_instance_uid}}
    found = orthanc.post("/tools/find", json=query).raise_for_status().json()
    return str(found[0]) if found else None


def first_instance(orthanc: httpx.Client, study: str) -> dict[str, Any]:
    """Return the attributes of a study's first instance by keyword, as text."""
    instances = orthanc.get(f"/studies/{study}/instances").raise_for_status().json()
    first = min(instances, key=lambda one: int(one["MainDicomTags"].get("InstanceNumber") or 0))
    tags = orthanc.get(f"/instances/{first['ID']}/simplified-tags").raise_for_status().json()
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in tags.items()
    }
