# SPDX-License-Identifier: GPL-3.0-or-later
"""A round trip that fails says where, and cleans up; one that works is asked for in tests/e2e."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

ID = "0123abcd-0123abcd-0123abcd-0123abcd-0123abcd"
ROUTE = f"/deid/v1/studies/{ID}"
Ask = Callable[..., dict[str, Any]]


class Site:
    """A site of one Orthanc that is PHI and destination: what it says of the test study."""

    def __init__(self, orthanc: Any) -> None:
        self._orthanc = orthanc
        self.told: dict[str, Any] = {
            "state": "delivered",
            "reason": None,
            "finished": True,
            "anonymous_study_uid": "2.25.7",
            "destinations": [{"destination": "anon", "state": "delivered", "instances": 1}],
        }
        self.held = b"anonymized"
        orthanc.answers |= {
            "POST /instances": {"Status": "Success", "ParentStudy": ID},
            ROUTE: lambda: self.told,
            f"POST {ROUTE}/withdraw": self._withdraw,
            "POST /tools/lookup": self._lookup,
            f"DELETE /studies/{ID}": {},
            f"/studies/{ID}/instances": [{"ID": "i-1"}],
            "/instances/i-1/file": lambda: self.held,
            "/instances/i-1/content/0012-0062": b"YES ",
        }

    def _withdraw(self) -> dict[str, Any]:
        self.told = {**self.told, "state": "withdrawn"}
        return self.told

    def _lookup(self) -> list[dict[str, str]]:
        return [] if self.told["state"] == "withdrawn" else [{"ID": ID, "Type": "Study"}]

    @property
    def asked(self) -> list[str]:
        """What was asked for that changes something."""
        return [name for name, _ in self._orthanc.asked if "lookup" not in name]

    def sent(self) -> bytes:
        """The file that was sent."""
        body: bytes = next(body for name, body in self._orthanc.asked if name == "POST /instances")
        return body


@pytest.fixture
def site(orthanc: Any) -> Site:
    return Site(orthanc)


@pytest.fixture
def ask(run_module: Any, connection: dict[str, Any]) -> Ask:
    there = {name: connection[name] for name in ("url", "user", "password", "ca_path")}

    def run(*, check: bool = False, **options: Any) -> dict[str, Any]:
        destinations = [{"name": "anon", **there}]
        arguments = {**connection, "destinations": destinations, "instances": 1, "timeout": 1}
        answer: dict[str, Any] = run_module(
            "orthanc_roundtrip", {**arguments, **options}, check=check
        )
        return answer

    return run


def test_a_study_that_comes_through_is_removed_and_changes_nothing(ask: Ask, site: Site) -> None:
    answer = ask()

    assert not answer.get("failed"), answer["msg"]
    assert answer["removed"]
    assert not answer["changed"]
    assert answer["destinations"] == {"anon": 1}
    assert set(answer["seconds"]) == {"send", "deliver", "check anon", "remove"}
    assert site.asked == ["POST /instances", f"POST {ROUTE}/withdraw", f"DELETE /studies/{ID}"]


def test_an_identifier_that_survives_is_an_alarm(ask: Ask, site: Site, orthanc: Any) -> None:
    # The very file that was sent comes out again.
    orthanc.answers["/instances/i-1/file"] = site.sent

    answer = ask()

    assert answer["failed"]
    assert f"{answer['planted']} of {answer['planted']} planted identifiers" in answer["msg"]
    assert "Stop the workers" in answer["msg"]
    assert answer["removed"]


def test_an_instance_that_does_not_say_that_it_is_anonymized_is_an_alarm(
    ask: Ask, site: Site, orthanc: Any
) -> None:
    assert site.told
    orthanc.answers["/instances/i-1/content/0012-0062"] = b"NO"

    assert "does not say it is anonymized" in ask()["msg"]


def test_a_quarantine_is_told_with_its_reason_and_cleaned_up(ask: Ask, site: Site) -> None:
    site.told = {**site.told, "state": "quarantined", "reason": "leak: one was found"}

    answer = ask()

    assert "in quarantine: leak: one was found" in answer["msg"]
    assert answer["removed"]
    assert f"DELETE /studies/{ID}" in site.asked


def test_a_study_that_is_stuck_is_told_with_what_it_waits_for(ask: Ask, site: Site) -> None:
    site.told = {**site.told, "state": "queued", "reason": "disk cannot be reached"}

    answer = ask()

    assert "After 1 s the test study is still queued: disk cannot be reached" in answer["msg"]
    assert answer["removed"]


def test_what_waits_for_a_person_is_started_and_released(
    ask: Ask, site: Site, orthanc: Any
) -> None:
    done = site.told
    orthanc.answers[f"POST {ROUTE}/anonymize"] = lambda: _set(site, {**done, "state": "review"})
    orthanc.answers[f"POST {ROUTE}/release"] = lambda: _set(site, done)
    site.told = {**done, "state": "stable"}

    assert not ask(timeout=5).get("failed")
    assert f"POST {ROUTE}/anonymize" in site.asked
    assert f"POST {ROUTE}/release" in site.asked


def _set(site: Site, told: dict[str, Any]) -> dict[str, Any]:
    site.told = told
    return told


def test_what_a_destination_cannot_give_back_is_named(ask: Ask, site: Site) -> None:
    site.told["destinations"] = [{"destination": "pacs", "state": "left", "instances": 1}]

    answer = ask()

    assert "cannot be taken back from pacs" in answer["msg"]
    assert "2.25.7" in answer["msg"]
    assert not answer["removed"]


def test_a_destination_that_has_nothing_is_told(ask: Ask, site: Site, orthanc: Any) -> None:
    assert site.told
    orthanc.answers["POST /tools/lookup"] = []

    assert "anon has it not" in ask()["msg"]


def test_a_phi_that_refuses_is_told(ask: Ask, site: Site, orthanc: Any) -> None:
    assert site.told
    orthanc.answers["POST /instances"] = {"Status": "FilteredOut"}

    assert "it answered FilteredOut" in ask()["msg"]


def test_check_mode_sends_nothing(ask: Ask, site: Site) -> None:
    assert not ask(check=True)["changed"]
    assert site.asked == []
