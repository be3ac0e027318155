# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that ask an Orthanc have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """How an Orthanc is reached, and what a module that only reads keeps to."""

    DOCUMENTATION = r"""
options:
  url:
    description: The base address of the Orthanc, for example C(https://127.0.0.1:8042).
    type: str
    required: true
  user:
    description: The Orthanc account.
    type: str
    required: true
  password:
    description: The password of the account. It or O(password_file) is needed.
    type: str
  password_file:
    description:
      - The file on the host that holds the password, such as one of
        M(imaging.orthanc.secret_files). Then it does not pass through the controller.
    type: path
  ca_path:
    description: The file of the certificate authority that signed the Orthanc's certificate.
    type: path
  request_timeout:
    description: How many seconds one request may take.
    type: int
    default: 5
attributes:
  action_group:
    description: The group for C(module_defaults).
    support: full
    membership: imaging.orthanc.orthanc
author:
  - imaging.orthanc contributors (@imaging-orthanc)
notes:
  - The options that say how the Orthanc is reached can be set once for all modules of this
    collection, with C(module_defaults) and the group C(imaging.orthanc.orthanc).
"""

    READS = r"""
attributes:
  check_mode:
    description: The module only reads.
    support: full
  diff_mode:
    description: The module changes nothing.
    support: none
"""
