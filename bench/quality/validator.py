# SPDX-License-Identifier: GPL-3.0-or-later
"""What `dciodvfy` of dicom3tools finds wrong with a file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

_UNREADABLE = "dataset read failed"


@cache
def command() -> str:
    """Return the path of dciodvfy; Debian's package is installed if it is nowhere."""
    if shutil.which("dciodvfy") is None:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (
            ["update", "-q"],
            ["install", "-qy", "--no-install-recommends", "dicom3tools"],
        ):
            subprocess.run(["apt-get", *words], check=True, env=environment, capture_output=True)
    return str(shutil.which("dciodvfy"))


def errors(data: bytes) -> Counter[str] | None:
    """Return the errors of a file without the values they quote, None if it is not readable."""
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        Path(file.name).write_bytes(data)
        run = subprocess.run([command(), "-new", file.name], capture_output=True, check=False)
    lines = run.stderr.decode("latin-1").splitlines()
    if any(_UNREADABLE in line for line in lines):
        return None  # such as a deflated one, which it cannot inflate
    return Counter(re.sub(r"= ?<.*?>", "", line) for line in lines if line.startswith("Error"))


def new_errors(before: bytes, after: bytes) -> list[str]:
    """Return the errors of an output that its input had not."""
    known = errors(before)
    found = errors(after) if known is not None else None
    return [] if known is None or found is None else sorted((found - known).elements())
