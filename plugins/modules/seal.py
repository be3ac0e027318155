#!/usr/bin/python
# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell whether a part of the site is as its last deployment left it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: seal
short_description: Tell whether a part of the site is as its last deployment left it
version_added: 1.0.0
description:
  - After a deployment, notes in a file, the seal, what it was made from and what it left on the
    host.
  - Before the next one, looks whether all of it is still so. Where it is, there is nothing to do,
    and a run takes a second instead of half a minute.
  - Whatever differs, or cannot be seen, breaks the seal. The file is removed then, so that a run
    that is cut off afterwards is followed by a whole one.
author:
  - imaging.orthanc contributors (@imaging-orthanc)
options:
  path:
    description: The file of the seal. Only root can read it.
    type: path
    required: true
  write:
    description: Note what is there now, instead of looking whether it is as it was noted.
    type: bool
    default: false
  inputs:
    description: A digest of all that the deployment is made from, such as variables and templates.
    type: str
    required: true
  trees:
    description:
      - Files, and directories with everything below them. Contents, owners and modes are compared.
      - What is not there is noted as well.
    type: list
    elements: path
    default: []
  except:
    description: What is left out of O(trees), with everything below it. The seal itself always is.
    type: list
    elements: path
    default: []
  directories:
    description: Directories whose own owner and mode are compared, not what is in them.
    type: list
    elements: path
    default: []
  users:
    description: Local users. Their numbers, home and shell are compared.
    type: list
    elements: str
    default: []
  containers:
    description:
      - Containers. Each has to run, and to be the same one with the same configuration, on the
        same networks.
    type: list
    elements: str
    default: []
  certificates:
    description: Files of certificates, and for how many seconds each has to be good still.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Looks, and neither writes nor removes a seal.
    support: full
  diff_mode:
    description: What differs is answered in RV(differs).
    support: none
"""

EXAMPLES = r"""
- name: Look whether the Anon Orthanc is as it was left
  imaging.orthanc.seal:
    path: /etc/orthanc/anon/seal.json
    inputs: "{{ settings | to_json | hash('sha256') }}"
    trees: [/etc/orthanc/anon, /etc/cron.d/orthanc-anon-certificates]
    directories: [/var/lib/orthanc/anon/storage]
    users: [orthanc]
    containers: [orthanc-anon, orthanc-anon-db]
    certificates: {/etc/orthanc/anon/tls/orthanc.crt: 2592000}
  register: anon
"""

RETURN = r"""
intact:
  description: Whether there is a seal and all is as it says. True after writing one.
  returned: success
  type: bool
differs:
  description:
    - What is not as the seal says, such as V(container orthanc-anon) or the path of a file.
  returned: success
  type: list
  elements: str
"""

import contextlib
import hashlib
import json
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

ABSENT = "absent"


def attributes(path: Path) -> str:
    """Return type, mode and owner of a path."""
    found = path.lstat()
    return f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid}"


def file_state(path: Path) -> str:
    """Return what is compared of a path: for a file its content, too."""
    if path.is_symlink():
        return f"{attributes(path)} {path.readlink()}"
    if path.is_file():
        return f"{attributes(path)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return attributes(path) if path.exists() else ABSENT


def tree(path: Path, left_out: frozenset[Path]) -> Iterator[Path]:
    """Yield a path and all below it, but for what is left out."""
    if path in left_out:
        return
    yield path
    if path.is_dir() and not path.is_symlink():
        for below in sorted(path.iterdir()):
            yield from tree(below, left_out)


def user_state(name: str) -> str:
    """Return the entry of a local user."""
    try:
        return " ".join(map(str, pwd.getpwnam(name)[2:]))
    except KeyError:
        return ABSENT


def container_state(found: dict[str, Any]) -> str | None:
    """Return what is compared of an inspected container, or nothing if it is not well."""
    running = found["State"]
    if running["Status"] != "running" or running.get("Health", {}).get("Status") == "unhealthy":
        return None
    networks = sorted(one["NetworkID"] for one in found["NetworkSettings"]["Networks"].values())
    told = json.dumps([found["Config"], found["HostConfig"], networks], sort_keys=True)
    return f"{found['Id']} {hashlib.sha256(told.encode()).hexdigest()}"


class Host:
    """What is seen on the host. A state that is None is never as it should be."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._asked: dict[str, Any] = module.params

    def states(self) -> dict[str, str | None]:
        """Return the state of everything that is looked at, by its name."""
        return {
            "what it is made from": self._asked["inputs"],
            **self._files(),
            **{f"user {name}": user_state(name) for name in self._asked["users"]},
            **self._containers(),
            **self._certificates(),
        }

    def _files(self) -> dict[str, str | None]:
        left_out = frozenset(map(Path, [*self._asked["except"], self._asked["path"]]))
        below = [path for top in self._asked["trees"] for path in tree(Path(top), left_out)]
        return {
            str(path): file_state(path) for path in (*below, *map(Path, self._asked["directories"]))
        }

    def _containers(self) -> dict[str, str | None]:
        names = self._asked["containers"]
        if not names:
            return {}
        found: list[dict[str, Any]] = []
        if program := self._module.get_bin_path("docker"):
            # It tells of those that are there, whatever it complains of.
            _code, told, _complaint = self._module.run_command(
                [program, "container", "inspect", *names]
            )
            with contextlib.suppress(ValueError):
                found = json.loads(told)
        states = {one["Name"].lstrip("/"): container_state(one) for one in found}
        return {f"container {name}": states.get(name) for name in names}

    def _certificates(self) -> dict[str, str | None]:
        program = self._module.get_bin_path("openssl")
        states: dict[str, str | None] = {}
        for path, seconds in self._asked["certificates"].items():
            command = [program, "x509", "-noout", "-checkend", str(int(seconds)), "-in", path]
            good = program is not None and self._module.run_command(command)[0] == 0
            states[f"end of {path}"] = "far enough" if good else None
        return states


def read_seal(path: Path) -> dict[str, str | None]:
    """Return what a seal says; nothing if there is none that can be read."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def write_seal(path: Path, states: dict[str, str | None]) -> None:
    """Write a seal so that the file is either the old one or the whole new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".seal-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(states, stream, indent=1, sort_keys=True)
        Path(temporary).chmod(0o400)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def differing(noted: dict[str, str | None], seen: dict[str, str | None]) -> list[str]:
    """Return the names of what is not as it was noted, or is not well."""
    names = noted.keys() | seen.keys()
    return sorted(name for name in names if seen.get(name) is None or noted.get(name) != seen[name])


def main() -> None:
    """Run the module."""
    lists = {"type": "list", "default": []}
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "write": {"type": "bool", "default": False},
            "inputs": {"type": "str", "required": True},
            "trees": {**lists, "elements": "path"},
            "except": {**lists, "elements": "path"},
            "directories": {**lists, "elements": "path"},
            "users": {**lists, "elements": "str"},
            "containers": {**lists, "elements": "str"},
            "certificates": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    path = Path(module.params["path"])
    noted = read_seal(path)
    try:
        seen = Host(module).states()
        differs = differing(noted, seen)
        if differs and not module.check_mode:
            if module.params["write"]:
                write_seal(path, seen)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        module.fail_json(msg=f"{error.filename} cannot be looked at or sealed: {error.strerror}")
    written = module.params["write"]
    module.exit_json(
        changed=written and bool(differs), intact=written or not differs, differs=differs
    )


if __name__ == "__main__":
    main()
