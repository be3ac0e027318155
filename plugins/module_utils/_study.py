# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One study on the PHI Orthanc: how far it is, and what a person may decide about it."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.imaging.orthanc.plugins.module_utils._orthanc_client import (
    ORTHANC_ID,
    OrthancClient,
    OrthancError,
    RefusedError,
    poll,
)

UNDER_WAY = frozenset({"queued", "working", "delivering"})
WITHDRAWN = frozenset({"withdrawing", "withdrawn"})
UNKNOWN: dict[str, Any] = {
    "state": "unknown",
    "finished": True,
    "destinations": [],
    "anonymous_study_uids": [],
}
"""What is told of a study that PHI holds and the crosswalk does not know yet."""


class StudyError(Exception):
    """What was asked of the study did not come about; the message says why, and what to do."""


def _least_far(versions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the version that still moves, else one that waits, went out, or was withdrawn."""

    def progress(told: dict[str, Any]) -> tuple[bool, bool, bool]:
        return told["finished"], told["state"] in WITHDRAWN, told["state"] == "delivered"

    return sorted(versions, key=progress)[0]


class PhiStudy:
    """A study of the PHI Orthanc, by Orthanc's identifier."""

    def __init__(self, client: OrthancClient, orthanc_id: str, project: str | None = None) -> None:
        self._client = client
        self.orthanc_id = orthanc_id
        self.project = project

    @classmethod
    def find(cls, client: OrthancClient, name: str, project: str | None = None) -> PhiStudy:
        """Find a study by Orthanc's identifier or its StudyInstanceUID.

        Raises:
            StudyError: PHI holds no study of this UID.
        """
        if ORTHANC_ID.fullmatch(name):
            return cls(client, name, project)
        found = client.lookup_study(name)
        if found is None:
            raise StudyError(
                f"PHI holds no study with the StudyInstanceUID {name}. A study that was deleted "
                "there is named by Orthanc's identifier, as `orthanc-deid studies --json` shows it."
            )
        return cls(client, found, project)

    def look(self) -> dict[str, Any]:
        """Return what is known of the study; `UNKNOWN` while the crosswalk does not know it."""
        try:
            told = self._client.get(f"/deid/v1/studies/{self.orthanc_id}")
        except RefusedError as error:
            if error.status != 404:
                raise
            return dict(UNKNOWN)
        if not isinstance(told, dict):
            raise OrthancError("PHI told nothing of use about the study")
        return self._chosen(told)

    def _chosen(self, told: dict[str, Any]) -> dict[str, Any]:
        """Return what the project has of the study, or all projects as one.

        As one, it is where the project is that has come least far.
        """
        versions: list[dict[str, Any]] = [told, *told.get("other_projects", [])]
        if self.project is not None:
            found = [one for one in versions if one["project"] == self.project]
            return dict(found[0]) if found else dict(UNKNOWN)
        return {
            **told,
            **_least_far(versions),
            "finished": all(one["finished"] for one in versions),
            "destinations": [row for one in versions for row in one["destinations"]],
            "anonymous_study_uids": sorted(
                {one["anonymous_study_uid"] for one in versions if one.get("anonymous_study_uid")}
            ),
        }

    def ask(self, operation: str, **body: Any) -> dict[str, Any]:
        """Have something done to the study; returns what is then known of it.

        Raises:
            StudyError: the study's state does not allow it.
        """
        given = {key: value for key, value in body.items() if value is not None}
        try:
            told = self._client.post(f"/deid/v1/studies/{self.orthanc_id}/{operation}", given)
        except RefusedError as error:
            if not error.reason:
                raise
            raise StudyError(f"PHI does not {operation} the study: {error.reason}.") from None
        return self._chosen(told)

    def wait(self, timeout: float) -> dict[str, Any]:
        """Wait until no worker has anything to do for the study; returns what is then known.

        Raises:
            StudyError: that takes longer than `timeout` seconds.
        """
        told: dict[str, Any] = {}
        for _attempt in poll(time.monotonic() + timeout):
            told = self.look()
            if told["finished"]:
                return told
        waits = told.get("reason") or "see whether the workers run"
        raise StudyError(f"After {timeout:g} s the study is still {told['state']}: {waits}.")
