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
  - Keeps one file for each secret in a directory. A secret that is not given and has no file yet is
    made from the operating system's random source, as letters and digits with a letter first, so that
    no configuration loader, shell or connection string can change its meaning.
  - A secret that exists is never made anew, because databases and pseudonyms depend on it.
  - Use C(no_log=true) on the task, since the result holds the secrets.
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
      - A given value replaces the one in the file.
    type: dict
    required: true
  length:
    description: The number of characters of a secret that is made here.
    type: int
    default: 40
attributes:
  check_mode:
    description: Can run in check mode; a secret that would be made is answered as C(made-on-the-first-run).
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

from ansible.module_utils.basic import AnsibleModule

ALPHABET = string.ascii_letters + string.digits
SAFE = re.compile(r"[A-Za-z][A-Za-z0-9]{11,127}\Z")
NOT_MADE_YET = "made-on-the-first-run"


def new_secret(length: int) -> str:
    """Return a random secret: letters and digits, a letter first."""
    first = secrets.choice(string.ascii_letters)
    return first + "".join(secrets.choice(ALPHABET) for _ in range(length - 1))


def read_secret(path: str) -> str:
    """Return the secret in a file, or an empty string where there is no file."""
    try:
        with open(path, encoding="ascii") as handle:  # noqa: PTH123
            return handle.read().strip()
    except FileNotFoundError:
        return ""


def write_secret(module: AnsibleModule, path: str, value: str) -> None:
    """Write a secret so that the file is either the old one or the whole new one."""
    handle, temporary = tempfile.mkstemp(dir=module.params["path"])
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(value + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(temporary, 0o400)  # noqa: PTH101
    module.atomic_move(temporary, path)


def ensure_directory(path: str) -> bool:
    """Make the directory where it is missing and close it to others; tell whether that changed it."""
    if not os.path.isdir(path):  # noqa: PTH112
        os.makedirs(path, mode=0o700)  # noqa: PTH103
        return True
    if os.stat(path).st_mode & 0o077:  # noqa: PTH116
        os.chmod(path, 0o700)  # noqa: PTH101
        return True
    return False


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "secrets": {"type": "dict", "required": True, "no_log": True},
            "length": {"type": "int", "default": 40},
        },
        supports_check_mode=True,
    )
    path = module.params["path"]
    unsafe = sorted(
        name for name, given in module.params["secrets"].items() if given and not SAFE.match(given)
    )
    if unsafe:
        module.fail_json(
            msg=f"The given values of these secrets cannot be used: {', '.join(unsafe)}. Use 12 to 128 "
            "letters and digits, a letter first; configuration loaders change anything else."
        )
    changed = False if module.check_mode else ensure_directory(path)
    values, made = {}, []
    for name, given in sorted(module.params["secrets"].items()):
        current = read_secret(os.path.join(path, name))  # noqa: PTH118
        wanted = given or current
        if wanted and wanted == current:
            values[name] = current
            continue
        made.append(name)
        if module.check_mode:
            values[name] = given or NOT_MADE_YET
            continue
        values[name] = wanted or new_secret(module.params["length"])
        write_secret(module, os.path.join(path, name), values[name])  # noqa: PTH118
    module.exit_json(changed=changed or bool(made), secrets=values, made=made)


if __name__ == "__main__":
    main()
