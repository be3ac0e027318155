# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of destinations: all that is wrong is told at once, and no secret with it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from orthanc_deid.conditions import Conditions
from orthanc_deid.destination_config import (
    DicomNode,
    DicomWeb,
    Folder,
    check_destinations,
    read_destinations,
)
from orthanc_deid.settings_reader import Reader
from partners import Authority

SECRET = "Tops3cret"
ORTHANC = {"name": "partner", "url": "https://p", "user": "u", "password": SECRET}
DICOM = {"name": "pacs", "kind": "dicom", "host": "pacs.example.org", "aet": "PACS"}
WEB = {"name": "web", "kind": "dicomweb", "url": "https://w/dicom-web", "token": SECRET}
FOLDER = {"name": "share", "kind": "folder", "path": "/data/share"}


def test_each_kind_has_its_settings() -> None:
    reader = Reader({"destinations": [ORTHANC, DICOM, WEB, FOLDER]})
    orthanc, dicom, web, folder = read_destinations(reader)
    assert reader.problems == []
    assert (orthanc.name, orthanc.kind, orthanc.where) == ("partner", "orthanc", Conditions())
    assert dicom.settings == DicomNode("pacs.example.org", 104, "PACS", "ORTHANC-DEID")
    assert isinstance(web.settings, DicomWeb)
    assert web.settings.ca == "/etc/orthanc-deid/ca.crt"
    assert isinstance(folder.settings, Folder)
    assert "DicomData" in folder.settings.template.text
    assert SECRET not in repr((orthanc, web))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({**ORTHANC, "kind": "tape"}, "kind: must be one of orthanc, orthanc_disk, dicom"),
        ({**ORTHANC, "name": "anon"}, "name: 'anon' is what the site calls an Orthanc of its own"),
        ({**ORTHANC, "name": "disk@host2"}, "'disk@host2' is what the site calls"),
        ({**ORTHANC, "url": "http://p"}, "url: must start with https:// and name a host"),
        ({**ORTHANC, "url": f"https://u:{SECRET}@p"}, "url: must hold no account"),
        ({**ORTHANC, "url": "https://p:99999"}, "url: cannot be read"),
        ({**ORTHANC, "ca": "partner.pem"}, "ca: must be the certificates of the authorities"),
        (
            {**ORTHANC, "ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
            "ca: holds no certificate that can be read",
        ),
        ({**ORTHANC, "token": SECRET}, "token: is not a setting"),
        ({**DICOM, "aet": "A TITLE THAT IS TOO LONG"}, "aet: must have 1 to 16 characters"),
        ({**DICOM, "port": 0}, "port: must lie between 1 and 65535"),
        ({**DICOM, "host": ""}, "host: must not be empty"),
        ({**DICOM, "verify": "maybe"}, "verify: must be one of auto, query"),
        ({**DICOM, "verify": "commitment"}, "node: is missing: name the node"),
        ({**DICOM, "tls": True, "key": SECRET}, "certificate: and key must be PEM and belong"),
        ({**WEB, "user": "u"}, "token: stands beside an account"),
        ({**WEB, "token": "", "user": "u"}, "password: and user belong together"),
        ({**FOLDER, "path": "data"}, "path: must be an absolute path"),
        ({**FOLDER, "path": "/data"}, "path: must have two levels"),
        ({**FOLDER, "path": "/data/../etc/x"}, "path: must have two levels at least and no '..'"),
        ({**FOLDER, "path": "/etc/share"}, "path: must not lie in /etc"),
        ({**FOLDER, "template": "<PatientId>.dcm"}, "template: component 1"),
        ({**FOLDER, "where": [{"Modalty": "CT"}]}, "where: 'Modalty' is no keyword of DICOM"),
        ({**FOLDER, "where": {"Modality": "CT"}}, "where: must be a list"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_without_secrets(
    given: dict[str, Any], problem: str
) -> None:
    problems = check_destinations([given])
    assert [told for told in problems if told.startswith(f"destinations[0].{problem}"[:15])]
    assert problem in "\n".join(problems)
    assert SECRET not in "\n".join(problems)


def test_two_destinations_of_one_name_are_told() -> None:
    assert check_destinations([FOLDER, {**FOLDER, "path": "/data/other"}]) == [
        "destinations: 'share' is the name of several; give each its own"
    ]


def test_a_certificate_and_its_key_are_taken_and_others_are_not(authority: Authority) -> None:
    certificate, key = authority.sign("worker")
    _, other_key = authority.sign("other")
    tls = {**DICOM, "tls": True, "ca": authority.certificate, "certificate": certificate}
    assert check_destinations([{**tls, "key": key}]) == []
    (problem,) = check_destinations([{**tls, "key": other_key}])
    assert problem == "destinations[0].certificate: and key must be PEM and belong together"


def test_the_command_reads_standard_input_and_tells_everything() -> None:
    destinations = [{**DICOM, "aet": ""}, {**FOLDER, "path": "/data"}]
    given = json.dumps({"destinations": destinations})
    done = subprocess.run(
        [sys.executable, "-m", "orthanc_deid", "settings", "check"],
        input=given, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "orthanc-deid: destinations[0].aet: must not be empty",
        "orthanc-deid: destinations[1].path: must have two levels at least and no '..', not /data",
    ]
