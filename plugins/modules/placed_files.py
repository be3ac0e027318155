#!/usr/bin/python
# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make many directories and files at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: placed_files
short_description: Make many directories and files at once
version_added: 1.0.0
description:
  - Makes directories, and files with given contents, with their owners and modes.
  - Does in one step what C(ansible.builtin.file) and C(ansible.builtin.copy) do in a loop, where
    each turn costs a process on the host.
  - A file is either the old one or the whole new one, and nobody else can read it in between.
  - Use C(no_log=true) on the task where a content is secret.
author:
  - imaging.orthanc contributors (@imaging-orthanc)
options:
  owner:
    description: The owner of all that names none, a number or a name.
    type: str
  group:
    description: The group of all that names none, a number or a name.
    type: str
  mode:
    description: The mode of the files that name none, in octal digits.
    type: str
    default: "0400"
  directories:
    description:
      - The directories, those that hold others first. What is missing above them is made, too.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it lies.
        type: path
        required: true
      owner:
        description: The owner, a number or a name.
        type: str
      group:
        description: The group, a number or a name.
        type: str
      mode:
        description: The mode, in octal digits.
        type: str
        required: true
  files:
    description: The files. Their directories must be there, or among O(directories).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it lies.
        type: path
        required: true
      owner:
        description: The owner, a number or a name.
        type: str
      group:
        description: The group, a number or a name.
        type: str
      mode:
        description: The mode, in octal digits.
        type: str
      content:
        description: What the file holds, as text.
        type: str
        required: true
attributes:
  check_mode:
    description: What would change is told.
    support: full
  diff_mode:
    description: Contents and attributes are shown before and after.
    support: full
"""

EXAMPLES = r"""
- name: Place the configuration of PostgreSQL
  imaging.orthanc.placed_files:
    owner: "999"
    group: "999"
    directories:
      - {path: /etc/orthanc/anon/postgres, mode: "0500"}
    files:
      - path: /etc/orthanc/anon/postgres/pg_hba.conf
        content: "{{ lookup('ansible.builtin.template', 'pg_hba.conf.j2') }}"
"""

RETURN = r"""
paths:
  description: The paths that changed.
  returned: success
  type: list
  elements: str
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

ATTRIBUTES = ("owner", "group", "mode")
PATH = {"type": "path", "required": True}
WHOSE = {"owner": {"type": "str"}, "group": {"type": "str"}}


class Placing:
    """Places what a task wants, and keeps account of what changed."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self.paths: list[str] = []
        self.diff: list[dict[str, Any]] = []

    def directory(self, entry: dict[str, Any]) -> None:
        """Make a directory, or give it its owner and mode."""
        path = Path(entry["path"])
        if path.is_dir():
            self._correct(entry)
            return
        if not self._module.check_mode:
            path.mkdir(mode=0o700, parents=True)
            self._set_attributes(path, entry)
        self._note(path, {"state": "absent"}, {"state": "directory"})

    def file(self, entry: dict[str, Any]) -> None:
        """Write a file where it differs, or give it its owner and mode."""
        path, content = Path(entry["path"]), entry["content"].encode()
        current = path.read_bytes() if path.exists() else None
        if current == content:
            self._correct(entry)
            return
        if not self._module.check_mode:
            self._write(path, content, entry)
        self._note(path, (current or b"").decode(errors="replace"), entry["content"])

    def _write(self, path: Path, content: bytes, entry: dict[str, Any]) -> None:
        """Put the whole file in place at once, with its owner and mode."""
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".placed-")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            self._set_attributes(temporary, entry)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _correct(self, entry: dict[str, Any]) -> None:
        """Give what is there already its owner and mode."""
        shown: dict[str, Any] = {}
        if self._set_attributes(Path(entry["path"]), entry, shown):
            self._note(Path(entry["path"]), shown.get("before", {}), shown.get("after", {}))

    def _set_attributes(
        self, path: Path, entry: dict[str, Any], shown: dict[str, Any] | None = None
    ) -> bool:
        wanted = {name: entry[name] or self._module.params[name] for name in ATTRIBUTES}
        arguments = self._module.load_file_common_arguments({"path": str(path), **wanted})
        return bool(self._module.set_fs_attributes_if_different(arguments, False, shown))

    def _note(self, path: Path, before: Any, after: Any) -> None:
        self.paths.append(str(path))
        self.diff.append(
            {
                "before_header": str(path),
                "after_header": str(path),
                "before": before,
                "after": after,
            }
        )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **WHOSE,
            "mode": {"type": "str", "default": "0400"},
            "directories": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"path": PATH, **WHOSE, "mode": {"type": "str", "required": True}},
            },
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": PATH,
                    **WHOSE,
                    "mode": {"type": "str"},
                    "content": {"type": "str", "required": True},
                },
            },
        },
        supports_check_mode=True,
    )
    placing = Placing(module)
    try:
        for entry in module.params["directories"]:
            placing.directory(entry)
        for entry in module.params["files"]:
            placing.file(entry)
    except OSError as error:
        module.fail_json(msg=f"{error.filename} cannot be placed: {error.strerror}")
    module.exit_json(changed=bool(placing.paths), paths=placing.paths, diff=placing.diff)


if __name__ == "__main__":
    main()
