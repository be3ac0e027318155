# SPDX-License-Identifier: GPL-3.0-or-later
"""CT studies of invented patients as files, and the scanner that sends them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import generate_uid

from speed.series import ct

from .site import BenchError


def write_study(folder: Path, instances: int) -> Path:
    """Write a study of CT slices, 512 rows, 16 bits, 260 elements; returns its folder.

    Each call makes another study of another patient.
    """
    made = dcmread(BytesIO(ct(0)))
    uid = generate_uid()
    made.PatientID = f"PID-{uid[-10:]}"
    made.AccessionNumber = f"A{uid[-12:]}"
    made.StudyInstanceUID, made.SeriesInstanceUID = uid, generate_uid()
    made.FrameOfReferenceUID = generate_uid()
    place = folder / uid
    place.mkdir(parents=True)
    for number in range(instances):
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        made.InstanceNumber = number + 1
        made.SliceLocation = f"{-1370.5 + number}"
        made.ImagePositionPatient = ["-184.6", "-333.6", f"{-1370.5 + number}"]
        made.save_as(place / f"{number:05}.dcm", enforce_file_format=True)
    return place


def send(studies: Sequence[Path], port: int, associations: int = 1) -> None:
    """Send studies to an Orthanc of this machine by C-STORE, as the node SCANNER.

    Raises:
        BenchError: it did not take all of them.
    """

    def one(share: Sequence[Path]) -> None:
        run = subprocess.run(
            [
                *(_storescu(), "--aetitle", "SCANNER", "--call", "PHI"),
                *("--max-pdu", "131072", "--scan-directories"),
                *("127.0.0.1", str(port), *map(str, share)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise BenchError(f"PHI did not take all instances by C-STORE: {run.stderr[-500:]}")

    shares = [studies[at::associations] for at in range(min(associations, len(studies)))]
    with ThreadPoolExecutor(associations) as threads:
        list(threads.map(one, shares))


@cache
def _storescu() -> str:
    """Return the path of DCMTK's storescu; Debian's package is installed if it is nowhere."""
    if shutil.which("storescu") is None:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-q"], ["install", "-qy", "--no-install-recommends", "dcmtk"]):
            subprocess.run(["apt-get", *words], check=True, env=environment, capture_output=True)
    return str(shutil.which("storescu"))
