# Copyright (c) 2026, imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A digest that names what is built from a directory tree."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: tree_digest
author: imaging.orthanc contributors
version_added: 1.0.0
short_description: SHA-256 of the files under a directory
description:
  - Digests the relative paths, the executable bits and the contents of all files under a directory
    on the controller, and any further values.
  - What never enters an image is left out, namely tests, caches, compiled Python, build output and
    editors' files.
positional: _input
options:
  _input:
    description: A directory on the controller.
    type: path
    required: true
  inputs:
    description: Further values that the digest depends on, as positional arguments in order.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Name an image after its inputs
  ansible.builtin.set_fact:
    image: "example:{{ (role_path ~ '/files/image' | imaging.orthanc.tree_digest('trixie'))[:12] }}"
"""

RETURN = r"""
_value:
  description: 64 hexadecimal digits.
  type: str
"""

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


def tree_digest(directory: str, *inputs: str) -> str:
    """Return the SHA-256 of a tree's shipped files and of further inputs, in hexadecimal.

    Raises AnsibleFilterError if the directory is missing or holds no such file.
    """
    root = Path(directory)
    if not root.is_dir():
        raise AnsibleFilterError(f"tree_digest: there is no directory {directory!r} to digest")
    digest = hashlib.sha256()
    empty = True
    for path in shipped_files(root):
        empty = False
        name = path.relative_to(root).as_posix().encode()
        executable = b"x" if path.stat().st_mode & 0o100 else b"-"
        content = hashlib.sha256(path.read_bytes()).digest()
        digest.update(b"\0".join((name, executable, content)))
    if empty:
        raise AnsibleFilterError(f"tree_digest: the directory {directory!r} holds no files")
    for value in inputs:
        digest.update(hashlib.sha256(str(value).encode()).digest())
    return digest.hexdigest()


class FilterModule:
    """Ansible's entry to the filter."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return the filter by its name."""
        return {"tree_digest": tree_digest}
