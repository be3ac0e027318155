# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.imaging.orthanc.plugins.filter.dicom_modality import dicom_modality

SCANNER = {"name": "ct1", "aet": "CT1", "host": "192.0.2.7"}


def allowed(entry: dict[str, object]) -> set[str]:
    return {name for name, value in entry.items() if name.startswith("Allow") and value is True}


def test_a_node_gets_what_orthanc_wants_to_know() -> None:
    entry = dicom_modality({**SCANNER, "port": 11112, "manufacturer": "GE"})

    assert entry["AET"] == "CT1"
    assert entry["Host"] == "192.0.2.7"
    assert entry["Port"] == 11112
    assert entry["Manufacturer"] == "GE"


def test_a_node_that_says_nothing_else_may_echo_and_store_at_the_standard_port() -> None:
    entry = dicom_modality(SCANNER)

    assert entry["Port"] == 104
    assert entry["Manufacturer"] == "Generic"
    assert allowed(entry) == {"AllowEcho", "AllowStore"}


def test_what_is_not_allowed_is_denied_by_name() -> None:
    entry = dicom_modality({**SCANNER, "allow": ["find"]})

    assert allowed(entry) == {"AllowFind"}
    for name in ("AllowEcho", "AllowStore", "AllowGet", "AllowMove"):
        assert entry[name] is False


def test_a_node_that_is_only_called_may_ask_for_nothing() -> None:
    assert allowed(dicom_modality({**SCANNER, "allow": []})) == set()


def test_a_node_is_called_by_tls_where_that_is_set() -> None:
    assert dicom_modality({**SCANNER, "tls": True})["UseDicomTls"] is True
    assert dicom_modality(SCANNER)["UseDicomTls"] is False
