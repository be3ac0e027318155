# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the firewall lets deliveries through."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imaging.orthanc.plugins.filter.destination_flows import destination_flows


@pytest.mark.parametrize(
    ("destination", "to", "port"),
    [
        ({"url": "https://partner.example.org:8443"}, "partner.example.org", 8443),
        ({"kind": "dicomweb", "url": "https://192.0.2.7/dicom-web"}, "192.0.2.7", 443),
        ({"kind": "dicomweb", "url": "https://[2001:db8::7]/dicom-web"}, "2001:db8::7", 443),
        ({"kind": "dicom", "host": "pacs"}, "pacs", 104),
        ({"kind": "dicom", "host": "pacs", "port": 11112}, "pacs", 11112),
    ],
)
def test_a_destination_on_the_network_is_let_through(
    destination: dict[str, Any], to: str, port: int
) -> None:
    flows = destination_flows([{"name": "one", **destination}])
    assert flows == [{"kind": "phi", "to": to, "port": port, "comment": "destination one"}]


@pytest.mark.parametrize(
    "destination",
    [{"kind": "folder", "path": "/data/share"}, {"url": "https://p:x"}, {"kind": "tape"}, {}],
)
def test_a_folder_and_what_is_no_destination_need_no_way(destination: dict[str, Any]) -> None:
    assert destination_flows([destination]) == []
