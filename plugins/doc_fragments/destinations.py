# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that follow a study to its destinations have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """The Orthancs at which a module looks."""

    DOCUMENTATION = r"""
options:
  destinations:
    description:
      - The Orthancs at which the module looks what became of the study. Other destinations are
        followed only as far as PHI tells of them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The destination's name in messages.
        type: str
        required: true
      url:
        description: The base address.
        type: str
        required: true
      user:
        description: The account, which must be allowed to download, as C(administrator) is.
        type: str
        required: true
      password:
        description: The password of the account.
        type: str
        required: true
      ca_path:
        description: The file of the certificate authority.
        type: path
"""
