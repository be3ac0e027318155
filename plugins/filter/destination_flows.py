# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the firewall where the destinations of the inventory lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

DOCUMENTATION = r"""
name: destination_flows
short_description: The connections that deliveries to the destinations of the inventory need
version_added: 1.0.0
author: imaging.orthanc contributors (@imaging-orthanc)
description:
  - A folder needs none. What is no destination is left out, since the role that delivers tells it.
options:
  _input:
    description: The destinations, as C(orthanc_phi_destinations) has them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ orthanc_phi_destinations | imaging.orthanc.destination_flows }}"
"""

RETURN = r"""
_value:
  description: The flows, as C(firewall_outgoing) of the role C(firewall) has them.
  type: list
  elements: dict
"""


def destination_flows(destinations: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one outgoing flow of PHI for each destination that is called over the network."""
    flows = []
    for one in destinations:
        host, port = _address(one)
        if host:
            comment = f"destination {one.get('name', '')}"
            flows.append({"kind": "phi", "to": host, "port": port, "comment": comment})
    return flows


def _address(destination: Mapping[str, Any]) -> tuple[str, int]:
    kind = destination.get("kind", "orthanc")
    if kind == "dicom":
        return str(destination.get("host", "")), int(destination.get("port", 104))
    if kind not in ("orthanc", "dicomweb"):
        return "", 0
    try:
        parts = urlsplit(str(destination.get("url", "")))
        host, port = parts.hostname, parts.port
    except ValueError:
        return "", 0
    return host or "", port or 443


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"destination_flows": destination_flows}
