#!/usr/bin/python
# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the secrets of one Orthanc on the host that uses them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_files
short_description: Make secrets on the target, once, as files that only root can read
version_added: 1.0.0
description:
  - Keeps one file for each secret in a directory. A secret that is not given and has no file yet
    is made from the operating system's random source, as letters and digits with a letter first, so
    that no configuration loader, shell or connection string can change its meaning.
  - A directory or file that others may read is closed.
  - A secret that exists is made anew only with O(renew), because databases and pseudonyms depend on
    it.
  - Use C(no_log=true) on the task, since arguments and result hold the secrets.
author:
  - imaging.orthanc contributors (@imaging-orthanc)
options:
  path:
    description: The directory of the secrets. It is created with mode C(0700) where it is missing.
    type: path
    required: true
  secrets:
    description:
      - The names of the secrets, which are the names of the files, and their given values.
      - An empty value means that the secret is made here.
      - A given value replaces the one in the file. It has 12 to 128 letters and digits, a letter
        first.
    type: dict
    required: true
  length:
    description: The number of characters of a secret that is made here, 12 to 128.
    type: int
    default: 40
  renew:
    description: Make secrets anew that exist and are not given.
    type: bool
    default: false
  keep:
    description: The names of secrets that are never made anew, whatever O(renew) says.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: A secret that would be made is answered as C(made-on-the-first-run).
    support: full
  diff_mode:
    description: A secret is never shown, so there is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Make the secrets of the Anon Orthanc
  imaging.orthanc.secret_files:
    path: /etc/orthanc/anon/secrets
    secrets:
      admin: "{{ vault_anon_admin_password | default('') }}"
      service: ""
  register: anon_secrets
  no_log: true
"""

RETURN = r"""
secrets:
  description: Each secret's name and value.
  returned: success
  type: dict
made:
  description: The names of the secrets that were made or replaced in this run.
  returned: success
  type: list
  elements: str
"""

import os
import re
import secrets
import string
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

ALPHABET = string.ascii_letters + string.digits
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\Z")
SAFE = re.compile(r"[A-Za-z][A-Za-z0-9]{11,127}\Z")
NOT_MADE_YET = "made-on-the-first-run"
SHORTEST = 12
LONGEST = 128


def new_secret(length: int) -> str:
    """Return a random secret: letters and digits, a letter first."""
    first = secrets.choice(string.ascii_letters)
    return first + "".join(secrets.choice(ALPHABET) for _ in range(length - 1))


def read_secret(path: Path) -> str:
    """Return the secret in a file, or an empty string where there is no file."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def write_secret(path: Path, value: str) -> None:
    """Write a secret so that the file is either the old one or the whole new one."""
    # Not AnsibleModule.atomic_move, which gives a new file the mode of the umask.
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(value + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o400)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink()
        raise


def open_to_others(path: Path) -> bool:
    """Tell whether somebody beside the owner may use a file or directory."""
    return bool(path.stat().st_mode & 0o077)


def ensure_directory(path: Path, *, check: bool) -> bool:
    """Make the directory where it is missing and close it to others; tell whether it changes."""
    if not path.is_dir():
        if not check:
            path.mkdir(mode=0o700, parents=True)
        return True
    if open_to_others(path):
        if not check:
            path.chmod(0o700)
        return True
    return False


def ensure_secret(
    path: Path, given: str, length: int, *, renew: bool, check: bool
) -> tuple[str, bool, bool]:
    """Make, replace or close the file of one secret.

    Returns the secret, whether it is made or replaced, and whether anything changes.
    """
    current = read_secret(path)
    if not current or (given and given != current) or (renew and not given):
        value = given or (NOT_MADE_YET if check else new_secret(length))
        if not check:
            write_secret(path, value)
        return value, True, True
    changed = open_to_others(path)
    if changed and not check:
        path.chmod(0o400)
    return current, False, changed


def problem(wanted: dict[str, str], length: int) -> str:
    """Return a sentence about the arguments that cannot be used, without any value, or nothing."""
    names = [repr(name) for name in sorted(wanted) if not NAME.match(name)]
    if names:
        return f"Secrets cannot be named {', '.join(names)}: use letters, digits, '_', '-' and '.'."
    unsafe = sorted(name for name, given in wanted.items() if given and not SAFE.match(given))
    if unsafe:
        return (
            f"The given values of these secrets cannot be used: {', '.join(unsafe)}. "
            f"Use {SHORTEST} to {LONGEST} letters and digits, a letter first; "
            "configuration loaders change anything else."
        )
    if not SHORTEST <= length <= LONGEST:
        return f"length is {length}: use {SHORTEST} to {LONGEST} characters."
    return ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            # With no_log Ansible would mask the given values in the answer, too, and the caller
            # would configure the mask as the password. The task's own no_log hides all of it.
            "secrets": {"type": "dict", "required": True, "no_log": False},
            "length": {"type": "int", "default": 40, "no_log": False},
            "renew": {"type": "bool", "default": False},
            "keep": {"type": "list", "elements": "str", "default": [], "no_log": False},
        },
        supports_check_mode=True,
    )
    directory, length = Path(module.params["path"]), module.params["length"]
    wanted = {name: str(given or "") for name, given in module.params["secrets"].items()}
    message = problem(wanted, length)
    if message:
        module.fail_json(msg=message)
    changed = ensure_directory(directory, check=module.check_mode)
    values: dict[str, str] = {}
    made: list[str] = []
    for name, given in sorted(wanted.items()):
        values[name], is_made, is_changed = ensure_secret(
            directory / name,
            given,
            length,
            renew=module.params["renew"] and name not in module.params["keep"],
            check=module.check_mode,
        )
        changed = changed or is_changed
        if is_made:
            made.append(name)
    module.exit_json(changed=changed, secrets=values, made=made)


if __name__ == "__main__":
    main()
