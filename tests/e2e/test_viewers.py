# SPDX-License-Identifier: GPL-3.0-or-later
"""What a DICOMweb viewer such as OHIF asks of Anon: studies, series, metadata and frames."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from pydicom import Dataset

import deployed
from planted import planted_study

INSTANCES = 3
FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1'


class Shown(NamedTuple):
    """A study on Anon, and what it was made from."""

    uid: str
    original: Dataset


@pytest.fixture(scope="module")
def shown() -> Shown:
    """A study that went the whole way."""
    instances, _ = planted_study("CT_small.dcm", INSTANCES)
    assert set(deployed.send(instances)) == {0}
    uid = deployed.delivered(instances[0].StudyInstanceUID, INSTANCES)
    return Shown(uid, instances[0])


def first(found: dict[str, Any], tag: str) -> str:
    """The first value of an attribute in DICOM JSON."""
    return str(found[tag]["Value"][0])


@pytest.mark.parametrize("account", ["viewer", "researcher", "honest_broker"])
def test_a_viewer_gets_from_the_list_of_studies_to_the_pixels(shown: Shown, account: str) -> None:
    with deployed.client("anon", account) as anon:
        json = {"Accept": "application/dicom+json"}
        query = {"StudyInstanceUID": shown.uid, "limit": "101", "offset": "0"}
        (study,) = anon.get("/dicom-web/studies", params=query, headers=json).json()
        assert first(study, "00100020") != str(shown.original.PatientID)
        at = f"/dicom-web/studies/{shown.uid}/series"
        (series,) = anon.get(at, headers=json).json()
        at += f"/{first(series, '0020000E')}"
        metadata = anon.get(f"{at}/metadata", headers=json).json()
        assert len(metadata) == INSTANCES
        assert {first(one, "00280010") for one in metadata} == {str(shown.original.Rows)}
        sop = first(metadata[0], "00080018")
        answer = anon.get(f"{at}/instances/{sop}/frames/1", headers={"Accept": FRAMES})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("multipart/related")
        assert _pixels(answer.content) == shown.original.pixel_array.astype("<i2").tobytes()
        picture = anon.get(f"{at}/instances/{sop}/rendered", headers={"Accept": "image/jpeg"})
        assert picture.content.startswith(b"\xff\xd8")


def _pixels(multipart: bytes) -> bytes:
    """The only part of an answer."""
    boundary = multipart.split(b"\r\n", 1)[0]
    return multipart.split(b"\r\n\r\n", 1)[1].split(b"\r\n" + boundary, 1)[0]


def test_a_viewer_uploads_nothing_and_other_origins_get_nothing(shown: Shown) -> None:
    with deployed.client("anon", "viewer") as anon:
        assert anon.post("/dicom-web/studies", content=b"").status_code == 403
        assert anon.get(f"/dicom-web/studies/{shown.uid}").status_code == 403
        headers = {"Origin": "https://elsewhere.example"}
        answer = anon.get("/dicom-web/studies", params={"limit": "1"}, headers=headers)
        assert "access-control-allow-origin" not in answer.headers


def test_the_original_is_found_by_nobody_on_anon(shown: Shown) -> None:
    with deployed.client("anon", "viewer") as anon:
        query = {"PatientID": str(shown.original.PatientID)}
        assert anon.get("/dicom-web/studies", params=query).json() == []
