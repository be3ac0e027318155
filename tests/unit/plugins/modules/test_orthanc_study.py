# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module asks of PHI, and when; what PHI then does is asked in tests/e2e."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

ID = "0123abcd-0123abcd-0123abcd-0123abcd-0123abcd"
ROUTE = f"/deid/v1/studies/{ID}"
Ask = Callable[..., dict[str, Any]]


def told(state: str, **more: Any) -> dict[str, Any]:
    """What PHI says of a study."""
    under_way = state in {"queued", "working", "delivering", "withdrawing"}
    known: dict[str, Any] = {
        "study": 7,
        "reason": None,
        "finished": not under_way,
        "destinations": [],
    }
    return {**known, "state": state, **more}


class Phi:
    """A PHI whose study moves on when something is asked of it."""

    def __init__(self, orthanc: Any) -> None:
        self._orthanc = orthanc
        orthanc.answers[ROUTE] = lambda: self.now
        self.now: Any = 404

    def moves(self, operation: str, *then: dict[str, Any] | int) -> None:
        """Let the study go through states once `operation` is asked for."""

        def answer() -> Any:
            states = list(then)
            self.now = states[0]
            self._orthanc.answers[ROUTE] = lambda: states.pop(0) if len(states) > 1 else states[0]
            return self.now

        self._orthanc.answers[f"POST {ROUTE}/{operation}"] = answer

    @property
    def asked(self) -> list[tuple[str, dict[str, Any]]]:
        """What was asked for."""
        return [(name.rpartition("/")[2], json.loads(body)) for name, body in self._orthanc.asked]


@pytest.fixture
def phi(orthanc: Any) -> Phi:
    return Phi(orthanc)


@pytest.fixture
def ask(run_module: Any, connection: dict[str, Any]) -> Ask:
    def run(*, check: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {**connection, "study": ID, "wait_timeout": 5, **options}
        answer: dict[str, Any] = run_module("orthanc_study", arguments, check=check)
        return answer

    return run


def test_it_tells_the_state_and_asks_for_nothing(ask: Ask, phi: Phi) -> None:
    phi.now = told("quarantined", reason="leak: an identifier was found")

    answer = ask()

    assert not answer["changed"]
    assert answer["study"]["reason"].startswith("leak")
    assert phi.asked == []


def test_a_study_is_named_by_its_uid_as_well(ask: Ask, phi: Phi, orthanc: Any) -> None:
    phi.now = told("delivered")
    orthanc.answers["POST /tools/lookup"] = [{"ID": ID, "Type": "Study"}]

    assert ask(study="1.2.3")["before"] == "delivered"

    orthanc.answers["POST /tools/lookup"] = []
    assert "holds no study with the StudyInstanceUID 1.2.3" in ask(study="1.2.3")["msg"]


def test_a_study_is_delivered_once_as_check_mode_predicts(ask: Ask, phi: Phi) -> None:
    phi.moves("anonymize", told("queued"), told("working"), told("delivered"))

    predicted = ask(state="delivered", check=True)
    assert predicted["changed"]
    assert predicted["diff"] == {"before": {"state": "unknown"}, "after": {"state": "delivered"}}
    assert phi.asked == []
    real = ask(state="delivered", note="asked for")
    assert real["changed"]
    assert (real["before"], real["study"]["state"]) == ("unknown", "delivered")
    assert phi.asked == [("anonymize", {"note": "asked for", "force": False})]
    assert not ask(state="delivered")["changed"]
    assert not ask(state="delivered", check=True)["changed"]
    assert len(phi.asked) == 1


def test_force_delivers_once_more(ask: Ask, phi: Phi) -> None:
    phi.now = told("delivered")
    phi.moves("anonymize", told("queued"), told("delivered"))

    assert ask(state="delivered", force=True)["changed"]
    assert phi.asked[0][1]["force"] is True


def test_a_study_that_ends_in_quarantine_fails_the_task_with_the_reason(ask: Ask, phi: Phi) -> None:
    phi.moves("retry", told("queued"), told("quarantined", reason="burned-in: text in the image"))

    answer = ask(state="retried")

    assert answer["failed"]
    assert "is quarantined, not retried: burned-in: text in the image" in answer["msg"]


def test_a_release_passes_the_note_on(ask: Ask, phi: Phi) -> None:
    phi.now = told("quarantined")
    phi.moves("release", told("queued"), told("delivered"))

    assert ask(state="released", note="looked at it")["study"]["state"] == "delivered"
    assert phi.asked == [("release", {"note": "looked at it"})]


def test_what_phi_says_against_it_is_told(ask: Ask, phi: Phi, orthanc: Any) -> None:
    phi.now = told("quarantined")
    orthanc.answers[f"POST {ROUTE}/release"] = (409, {"error": "a release needs a note"})

    assert "PHI does not release the study: a release needs a note." in ask(state="released")["msg"]


def test_a_withdrawal_that_is_done_asks_for_nothing(ask: Ask, phi: Phi) -> None:
    phi.now = told("withdrawn")

    assert not ask(state="withdrawn")["changed"]
    assert phi.asked == []


def test_what_only_a_person_can_take_back_fails_the_withdrawal(ask: Ask, phi: Phi) -> None:
    phi.now = told("delivered")
    left = [{"destination": "pacs", "state": "left"}, {"destination": "anon", "state": "withdrawn"}]
    phi.moves("withdraw", told("withdrawing"), told("withdrawn", destinations=left))

    answer = ask(state="withdrawn")

    assert answer["failed"]
    assert "at pacs only a person can take back" in answer["msg"]


def test_a_study_that_nobody_works_on_does_not_hang_the_task(ask: Ask, phi: Phi) -> None:
    phi.now = told("queued", reason="anon cannot be reached")

    answer = ask(state="delivered", wait_timeout=1)

    assert "After 1 s the study is still queued: anon cannot be reached" in answer["msg"]
    assert not ask(state="delivered", wait=False).get("failed")


def test_what_a_destination_still_holds_fails_the_withdrawal(
    ask: Ask, phi: Phi, orthanc: Any, connection: dict[str, Any]
) -> None:
    phi.now = told("withdrawn", anonymous_study_uid="2.25.7")
    there = {name: connection[name] for name in ("url", "user", "password", "ca_path")}
    orthanc.answers["POST /tools/lookup"] = []
    options = {"state": "withdrawn", "destinations": [{"name": "anon", **there}]}
    assert not ask(**options).get("failed")
    orthanc.answers["POST /tools/lookup"] = [{"ID": ID, "Type": "Study"}]

    assert "anon still has 2.25.7" in ask(**options)["msg"]


def test_studies_are_listed_page_by_page(
    run_module: Any, connection: dict[str, Any], orthanc: Any
) -> None:
    first = [told("delivered", study=number) for number in range(1, 101)]
    route = "/deid/v1/studies?state=delivered%2Cqueued&subject_number=3&limit=100"
    orthanc.answers[route] = {"studies": first}
    orthanc.answers[f"{route}&after=100"] = {"studies": [told("queued", study=101)]}
    options = {**connection, "states": ["delivered", "queued"], "subject_number": 3}

    studies = run_module("orthanc_study_info", options)["studies"]

    assert [study["study"] for study in studies] == list(range(1, 102))
    orthanc.answers[f"{route}&after=100"] = {"studies": []}
    assert len(run_module("orthanc_study_info", options)["studies"]) == 100
    orthanc.answers[route] = (400, {"error": "state is not known"})
    assert "state is not known" in run_module("orthanc_study_info", options)["msg"]


def test_a_study_of_several_projects_is_withdrawn_where_all_of_them_are(ask: Ask, phi: Phi) -> None:
    other = told("delivered", project="knee")
    phi.now = told("withdrawn", project="default", other_projects=[other])

    assert ask(state="withdrawn", check=True)["changed"]
    assert not ask(state="withdrawn", check=True, project="default")["changed"]
    assert ask(project="knee")["study"]["state"] == "delivered"
    assert ask(project="hip")["study"]["state"] == "unknown"
