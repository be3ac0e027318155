# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Orthancs at which a module looks what became of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.imaging.orthanc.plugins.module_utils._orthanc_client import OrthancClient

DESTINATIONS: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "name": {"type": "str", "required": True},
        "url": {"type": "str", "required": True},
        "user": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
        "ca_path": {"type": "path"},
    },
}
"""The option `destinations` of the documentation fragment `destinations`."""


def clients(params: Mapping[str, Any]) -> dict[str, OrthancClient]:
    """Return the destinations by their names."""
    timeout = params["request_timeout"]
    return {
        item["name"]: OrthancClient.of({**item, "request_timeout": timeout})
        for item in params["destinations"]
    }
