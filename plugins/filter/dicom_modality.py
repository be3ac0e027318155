# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a DICOM node of the inventory as Orthanc's configuration wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DOCUMENTATION = r"""
name: dicom_modality
short_description: A DICOM node of the inventory as an entry of Orthanc's DicomModalities
version_added: 1.0.0
author: imaging.orthanc contributors (@imaging-orthanc)
description:
  - What is not allowed is denied by name, so that a default of Orthanc never opens anything.
options:
  _input:
    description: >-
      The node, with C(aet), C(host) and optionally C(port), C(allow), C(manufacturer) and C(tls).
    type: dict
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ node | imaging.orthanc.dicom_modality }}"
  vars:
    node: {aet: CT1, host: 10.0.0.5, allow: [store]}
"""

RETURN = r"""
_value:
  description: The entry of C(DicomModalities).
  type: dict
"""

# What the inventory calls it, and what Orthanc does.
ALLOWABLE = {
    "echo": "AllowEcho",
    "store": "AllowStore",
    "find": "AllowFind",
    "get": "AllowGet",
    "move": "AllowMove",
    "commitment": "AllowStorageCommitment",
}


def dicom_modality(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of Orthanc's DicomModalities for one node of the inventory."""
    allowed = node.get("allow", ("echo", "store"))
    return {
        "AET": node["aet"],
        "Host": node["host"],
        "Port": int(node.get("port", 104)),
        "Manufacturer": node.get("manufacturer", "Generic"),
        "UseDicomTls": bool(node.get("tls", False)),
        **{setting: name in allowed for name, setting in ALLOWABLE.items()},
    }


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"dicom_modality": dicom_modality}
