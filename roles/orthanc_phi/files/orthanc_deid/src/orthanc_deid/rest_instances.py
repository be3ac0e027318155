# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about the instances of a study: which became which, for a look at both.

The browser asks the Orthancs itself for what they hold, with the account of the person there: the
service's own account cannot read an image on Anon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orthanc_deid import uids
from orthanc_deid.agent_client import Answer
from orthanc_deid.api import ApiError, Request, Route
from orthanc_deid.keys import Keys
from orthanc_deid.orthanc_client import GoneError, OrthancClient
from orthanc_deid.studies import Studies


class InstanceRoutes:
    """The answers about instances.

    Args:
        phi: where the originals are.
        studies: the crosswalk's.
        secret: returns the site's secret.
    """

    def __init__(
        self,
        phi: OrthancClient,
        studies: Studies,
        secret: Callable[[], bytes],
    ) -> None:
        self._phi = phi
        self._studies = studies
        self._secret = secret

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [Route("GET", "/studies/{orthanc_id}/instances", self.instances)]

    def instances(self, request: Request, orthanc_id: str) -> Answer:
        """Return the series of a study with their instances, each with its anonymous UID."""
        study = self._studies.find_orthanc(orthanc_id, request.projects)
        if study is None or study.anonymous_study_uid is None:
            raise ApiError(409, "nothing of this study was anonymized yet")
        try:
            series, instances = self._phi.contents(orthanc_id)
        except GoneError:
            raise ApiError(404, "this Orthanc does not hold such a study") from None
        keeps = study.anonymous_study_uid == study.study_instance_uid
        key = Keys.derive(self._secret(), study.project).uid
        by_series: dict[str, list[dict[str, Any]]] = {one["ID"]: [] for one in series}
        for instance in instances:
            tags = instance["MainDicomTags"]
            uid = tags["SOPInstanceUID"]
            by_series[instance["ParentSeries"]].append(
                {
                    "orthanc_id": instance["ID"],
                    "number": _number(tags.get("InstanceNumber")),
                    "anonymous_sop_instance_uid": uid if keeps else uids.map_uid(key, uid),
                }
            )
        return 200, {
            "anonymous_study_uid": study.anonymous_study_uid,
            "series": [
                {
                    "number": _number(one["MainDicomTags"].get("SeriesNumber")),
                    "modality": one["MainDicomTags"].get("Modality", ""),
                    "description": one["MainDicomTags"].get("SeriesDescription", ""),
                    "instances": sorted(by_series[one["ID"]], key=lambda each: each["number"] or 0),
                }
                for one in sorted(series, key=_place)
            ],
        }


def _place(series: dict[str, Any]) -> tuple[int, str]:
    return _number(series["MainDicomTags"].get("SeriesNumber")) or 0, series["ID"]


def _number(text: str | None) -> int | None:
    value = (text or "").strip()
    return int(value) if value.lstrip("-").isdecimal() and value.isascii() else None
