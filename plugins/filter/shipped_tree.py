# Copyright (c) 2026, imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory tree as what an image is built from: its digest, and the tree in one string."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from ansible.errors import AnsibleFilterError

NOT_SHIPPED = (
    "__pycache__",
    "*.pyc",
    "*.egg-info",
    ".*_cache",
    ".venv",
    ".git",
    ".hypothesis",
    ".coverage",
    "*.swp",
    "*~",
    "build",
    "dist",
    "tests",
)


def shipped_files(directory: Path) -> Iterator[Path]:
    """Yield the files under a directory that may enter an image, in a stable order."""
    for path in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if any(fnmatch(path.name, pattern) for pattern in NOT_SHIPPED):
            continue
        if path.is_dir():
            yield from shipped_files(path)
        else:
            yield path


def shipped_tree(directory: str) -> list[tuple[str, Path]]:
    """Return names relative to the directory, with their files.

    Raises AnsibleFilterError if the directory is missing or holds no file that is shipped.
    """
    root = Path(directory)
    if not root.is_dir():
        raise AnsibleFilterError(f"there is no directory {directory!r} on the controller")
    tree = [(path.relative_to(root).as_posix(), path) for path in shipped_files(root)]
    if not tree:
        raise AnsibleFilterError(f"the directory {directory!r} holds no files to ship")
    return tree


def is_executable(path: Path) -> bool:
    """Tell whether the owner may execute a file."""
    return bool(path.stat().st_mode & 0o100)


def tree_digest(directory: str, *inputs: str) -> str:
    """Return the SHA-256 of a tree's shipped files and of further inputs, in hexadecimal."""
    digest = hashlib.sha256()
    for name, path in shipped_tree(directory):
        kind = b"x" if is_executable(path) else b"-"
        content = hashlib.sha256(path.read_bytes()).digest()
        digest.update(b"\0".join((name.encode(), kind, content)))
    for value in inputs:
        digest.update(hashlib.sha256(str(value).encode()).digest())
    return digest.hexdigest()


def tree_archive(directory: str) -> str:
    """Return a tree's shipped files as a tar, in Base64, the same for the same digest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in shipped_tree(directory):
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if is_executable(path) else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return base64.encodebytes(buffer.getvalue()).decode()


class FilterModule:
    """Ansible's entry to the filters."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return the filters by their names."""
        return {"tree_digest": tree_digest, "tree_archive": tree_archive}
