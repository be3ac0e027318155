# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's anonymized instances on their way; nothing identified is ever written here."""

from __future__ import annotations

import shutil
from pathlib import Path


class Spool:
    """The anonymized files of one study, removed when the context ends.

    What a killed worker left is removed when its study is taken up again.
    """

    def __init__(self, directory: Path, study_id: int) -> None:
        self._directory = directory / f"study-{study_id}"
        self.files: dict[str, Path] = {}

    def __enter__(self) -> Spool:
        self._remove()
        self._directory.mkdir(mode=0o700, parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def add(self, sop_instance_uid: str, data: bytes) -> None:
        """Write one instance; a file by its final name is whole."""
        path = self._directory / f"{sop_instance_uid}.dcm"
        partial = path.with_suffix(".part")
        partial.write_bytes(data)
        partial.rename(path)
        self.files[sop_instance_uid] = path

    def _remove(self) -> None:
        if self._directory.exists():
            shutil.rmtree(self._directory)
