# SPDX-License-Identifier: GPL-3.0-or-later
"""A PACS on this machine: DCMTK's dcmqrscp, which answers C-FIND and C-MOVE."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.presentation import build_context

import deployed

PORT = 24260
CONFIGURATION = """\
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
phi = (PHI, 127.0.0.1, {phi})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
PACS {storage} RW (500, 1024mb) ANY
AETable END
"""


@contextmanager
def running_pacs(directory: Path) -> Iterator[None]:
    """Run a PACS that keeps what it gets in a directory."""
    storage = directory / "storage"
    storage.mkdir()
    configuration = directory / "dcmqrscp.cfg"
    configuration.write_text(
        CONFIGURATION.format(port=PORT, phi=deployed.DICOM_PORT, storage=storage)
    )
    process = subprocess.Popen(["dcmqrscp", "-c", str(configuration)])
    try:
        deployed.wait_for("the PACS listens", _listens, 20)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _listens() -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", PORT)) == 0


def archive(instances: Iterable[Dataset]) -> None:
    """Put a study into the PACS."""
    instances = list(instances)
    scanner = AE("SCANNER")
    first = instances[0]
    scanner.requested_contexts = [
        build_context(first.SOPClassUID, first.file_meta.TransferSyntaxUID)
    ]
    association = scanner.associate("127.0.0.1", PORT, ae_title="PACS")
    assert association.is_established
    assert {association.send_c_store(instance).Status for instance in instances} == {0}
    association.release()
