# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the address by which other hosts reach a host's Orthanc, or by which its workers call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DOCUMENTATION = r"""
name: host_address
short_description: The address by which other hosts reach a host of the inventory
version_added: 1.0.0
author: imaging.orthanc contributors (@imaging-orthanc)
description:
  - What the inventory says of the host in C(orthanc_<kind>_address), C(orthanc_site_address) or
    C(ansible_host), the first that is there; else the host's name.
positional: hostvars, kind
options:
  _input:
    description: The host's name in the inventory.
    type: str
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
  kind:
    description: The kind of Orthanc whose address is meant.
    type: str
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ 'phi.example.org' | imaging.orthanc.host_address(hostvars, 'phi') }}"
"""

RETURN = r"""
_value:
  description: An address, or a name.
  type: str
"""


def host_address(host: str, hostvars: Mapping[str, Mapping[str, Any]], kind: str) -> str:
    """Return the first address that the inventory has for a host, else its name."""
    own = hostvars[host]
    for variable in (f"orthanc_{kind}_address", "orthanc_site_address", "ansible_host"):
        if own.get(variable):
            return str(own[variable])
    return host


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, object]:
        """Return the filter by name."""
        return {"host_address": host_address}
