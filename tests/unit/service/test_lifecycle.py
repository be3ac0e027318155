# SPDX-License-Identifier: GPL-3.0-or-later
"""What persons decide about studies, and that it happens: once, everywhere, and for good."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from orthanc_deid import anonymization, orthanc_client
from orthanc_deid.lifecycle import Decision, Lifecycle, NotPossibleError
from orthanc_deid.states import State

from .fake_orthanc import file
from .site import TWO_ANONYMIZED, TWO_FILES, Site

BURNED_IN = file("MRN-1", "1.2", "3", "burned-in")
RELEASED = "DEMO_ID000001|anon.1.2|series|anon.3|burned-in"


@pytest.fixture
def site(embedded: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(orthanc_client, "PAUSES", (0.0,))
    monkeypatch.setattr(anonymization, "LOOK_EVERY", 0.0)
    return Site(embedded, tmp_path / "spool")


def lifecycle(site: Site) -> Lifecycle:
    return Lifecycle(site.crosswalk.studies, site, {"strict"}, {"default": ("anon", "disk")})


def ann(note: str = "", *, profile: str | None = None, review: bool | None = None) -> Decision:
    return Decision("ann", note, profile, review)


def actions(site: Site, actor: str = "ann") -> list[str]:
    """What a person did to the first study."""
    return [event.action for event in site.crosswalk.studies.events(1) if event.actor == actor]


def state(site: Site) -> tuple[str, str | None]:
    study = site.study()
    return study.state, study.reason


# Release


def test_a_released_study_goes_out_whole(site: Site) -> None:
    site.receive_and_run(*TWO_FILES, BURNED_IN)
    assert site.anon.texts() == []
    assert lifecycle(site).release(site.study(), ann("a ruler")).state is State.QUEUED
    site.run()
    assert site.anon.texts() == site.disk.texts() == sorted([*TWO_ANONYMIZED, RELEASED])
    event = next(e for e in site.crosswalk.studies.events(1) if e.actor == "ann")
    assert (event.action, event.detail) == ("queued", "released: a ruler")


def test_a_release_counts_for_the_file_that_was_looked_at_only(site: Site) -> None:
    site.receive_and_run(*TWO_FILES, BURNED_IN)
    lifecycle(site).release(site.study(), ann("a ruler"))
    site.phi.store(file("MRN-1", "1.2", "4", "burned-in"))
    site.run()
    assert site.study().state is State.QUARANTINED
    assert site.anon.texts() == []


def test_all_findings_of_a_study_are_told_and_released_at_once(site: Site) -> None:
    site.receive_and_run(BURNED_IN, file("MRN-1", "1.2", "4", "burned-in"))
    assert "1 more such findings in the study" in (site.study().reason or "")
    lifecycle(site).release(site.study(), ann("two rulers"))
    site.run()
    assert site.study().state is State.DELIVERED


def test_a_release_of_one_finding_leaves_every_other_check_as_it_is(site: Site) -> None:
    site.receive_and_run(BURNED_IN)
    lifecycle(site).release(site.study(), ann("a ruler"))
    site.phi.store(file("MRN-1", "1.2", "5", "truncated"))
    site.run()
    assert state(site) == (State.QUARANTINED, "unreadable: it is not whole; send it again")


def test_what_cannot_be_accepted_cannot_be_released(site: Site) -> None:
    site.receive_and_run(file("MRN-1", "1.2", "5", "truncated"))
    with pytest.raises(NotPossibleError, match="only corrected: unreadable: it is not whole"):
        lifecycle(site).release(site.study(), ann("please"))
    assert site.study().state is State.QUARANTINED


def test_a_release_needs_a_note_and_is_done_once(site: Site) -> None:
    site.receive_and_run(BURNED_IN)
    with pytest.raises(NotPossibleError, match="needs a note"):
        lifecycle(site).release(site.study(), ann(" "))
    for _ in range(2):
        lifecycle(site).release(site.study(), ann("a ruler"))
    site.run()
    assert lifecycle(site).release(site.study(), ann("a ruler")).state is State.DELIVERED
    assert actions(site) == ["queued"]


def test_what_does_not_wait_cannot_be_released(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    with pytest.raises(NotPossibleError, match="delivered: there is nothing to release"):
        lifecycle(site).release(site.study(), ann("why"))


# Reject, retry


def test_a_rejected_study_stays_whatever_arrives_until_it_is_retried(site: Site) -> None:
    site.receive_and_run(BURNED_IN)
    for _ in range(2):
        lifecycle(site).reject(site.study(), ann("a name is in it"))
    site.phi.store(file("MRN-1", "1.2", "6"))
    site.admit()
    site.run()
    assert state(site) == (State.REJECTED, "a name is in it")
    assert actions(site) == ["rejected"]
    with pytest.raises(NotPossibleError, match="nothing to release"):
        lifecycle(site).release(site.study(), ann("why"))
    with pytest.raises(NotPossibleError, match="was rejected"):
        lifecycle(site).anonymize(site.study(), ann())
    lifecycle(site).retry(site.study(), ann())
    site.run()
    assert site.study().state is State.QUARANTINED


def test_a_delivered_study_is_withdrawn_rather_than_rejected(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    with pytest.raises(NotPossibleError, match="withdraw it instead"):
        lifecycle(site).reject(site.study(), ann())


def test_another_profile_takes_the_place_of_what_the_first_one_made(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    lifecycle(site).retry(site.study(), ann(profile="strict"))
    site.run()
    wanted = [f"{text}strict" for text in TWO_ANONYMIZED]
    assert site.anon.texts() == site.disk.texts() == sorted(wanted)
    # Instances that come later are made by the same profile.
    site.phi.store(file("MRN-1", "1.2", "7"))
    site.admit()
    site.run()
    assert len(site.anon.texts()) == 3
    assert all(text.endswith("strict") for text in site.anon.texts())
    lifecycle(site).retry(site.study(), ann(profile=""))
    site.run()
    assert not any(text.endswith("strict") for text in site.anon.texts())


def test_only_a_profile_that_the_site_allows_can_be_asked_for(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    with pytest.raises(NotPossibleError, match="'lax' cannot be asked for; the site allows strict"):
        lifecycle(site).retry(site.study(), ann(profile="lax"))
    assert site.study().state is State.DELIVERED


def test_a_retry_sends_nothing_twice(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    lifecycle(site).retry(site.study(), ann())
    site.run()
    assert site.anon.requests.count("POST /instances") == 2
    assert "DELETE" not in " ".join(site.anon.requests)


# Review


def test_a_result_waits_for_a_person_and_then_goes_out_exactly_so(site: Site) -> None:
    site.always_review = True
    site.receive_and_run(*TWO_FILES)
    assert site.study().state is State.REVIEW
    assert site.anon.texts() == []
    assert set(TWO_ANONYMIZED) < set(site.phi.texts())
    site.admit()  # the result on PHI is nothing to anonymize
    assert site.study().state is State.REVIEW
    lifecycle(site).release(site.study(), ann())
    site.run()
    assert site.study().state is State.DELIVERED
    assert site.anon.texts() == TWO_ANONYMIZED
    assert sorted(site.phi.texts()) == sorted(data.decode() for data in TWO_FILES)
    assert [d.destination for d in site.crosswalk.studies.deliveries(1)] == ["anon", "disk"]


def test_what_changed_after_a_person_looked_waits_again(site: Site) -> None:
    site.always_review = True
    site.receive_and_run(*TWO_FILES)
    lifecycle(site).release(site.study(), ann())
    site.phi.store(file("MRN-1", "1.2", "8"))
    site.run()
    assert site.study().state is State.REVIEW
    assert site.anon.texts() == []


def test_one_study_can_be_asked_to_wait(site: Site) -> None:
    site.phi.store(*TWO_FILES)
    study = site.crosswalk.studies.add(orthanc_id="s-MRN-1-1.2")
    lifecycle(site).anonymize(study, ann(review=True))
    site.run()
    assert site.study().state is State.REVIEW
    lifecycle(site).anonymize(
        site.study(), ann(), last_update=site.study().source_last_update or ""
    )
    assert site.study().state is State.REVIEW


def test_a_result_that_keeps_its_uid_cannot_wait_beside_its_original(site: Site) -> None:
    site.always_review, site.root = True, ""
    site.receive_and_run(file("MRN1", "1.2", "1"), file("MRN1", "1.2", "2"))
    assert (site.study().reason or "").startswith("review-needs-new-uids")
    assert len(site.phi.texts()) == 2


def test_late_instances_are_seen_where_the_profile_keeps_uids(site: Site) -> None:
    site.root = ""
    site.receive_and_run(file("MRN1", "1.2", "1"), file("MRN1", "1.2", "2"))
    assert site.study().anonymous_study_uid == site.study().study_instance_uid
    site.phi.store(file("MRN1", "1.2", "7"))
    site.admit()
    site.run()
    assert len(site.anon.texts()) == 3


def test_a_rejected_result_leaves_phi(site: Site) -> None:
    site.always_review = True
    site.receive_and_run(*TWO_FILES)
    lifecycle(site).reject(site.study(), ann("a scar"))
    assert site.run() is None
    assert sorted(site.phi.texts()) == sorted(data.decode() for data in TWO_FILES)
    assert site.study().state is State.REJECTED


# Withdraw


def test_a_withdrawn_study_is_gone_everywhere_for_good(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    for _ in range(2):
        lifecycle(site).withdraw(site.study(), ann("consent withdrawn"))
    assert state(site) == (State.WITHDRAWING, "consent withdrawn")
    assert site.run() is None
    assert site.study().state is State.WITHDRAWN
    assert site.anon.texts() == site.disk.texts() == []
    assert "POST /disk/studies/s-DEMO_ID000001-anon.1.2/remove" in site.disk.requests
    assert len(site.phi.texts()) == 2
    site.phi.store(file("MRN-1", "1.2", "9"))
    site.admit()
    site.run()
    lifecycle(site).withdraw(site.study(), ann("consent withdrawn"))
    with pytest.raises(NotPossibleError, match="withdrawn cannot become queued"):
        lifecycle(site).retry(site.study(), ann())
    assert site.study().state is State.WITHDRAWN
    assert site.anon.texts() == []
    assert actions(site) == ["withdrawing"]


def test_a_study_that_is_on_its_way_is_stopped_and_taken_back(site: Site) -> None:
    site.phi.store(*TWO_FILES)
    site.admit()

    def withdraw_now(method: str, path: str) -> None:
        if (method, path) == ("POST", "/instances") and site.study().state is State.DELIVERING:
            lifecycle(site).withdraw(site.study(), ann("consent withdrawn"))

    site.anon.before = withdraw_now
    assert site.run() == 0.0
    assert site.run() is None
    assert site.study().state is State.WITHDRAWN
    assert site.anon.texts() == site.disk.texts() == []


def test_a_destination_that_is_down_is_asked_until_the_study_is_gone(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    lifecycle(site).withdraw(site.study(), ann())
    site.anon.down = True
    assert site.run() == anonymization.WITHDRAW_PAUSE
    assert site.study().state is State.WITHDRAWING
    assert site.disk.texts() == []
    site.anon.down, site.anon.keeps = False, True
    assert site.run() == anonymization.WITHDRAW_PAUSE
    site.anon.keeps = False
    assert site.run() is None
    assert (site.study().state, site.anon.texts()) == (State.WITHDRAWN, [])


def test_what_only_a_person_can_take_back_stays_on_the_list(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    site.disk.left = ["0001_0050/1/Analysis/notes.txt"]
    site.crosswalk.studies.expect_delivery(
        1, "old-pacs", anonymous_study_uid="anon.1.2", profile_digest="digest"
    )
    lifecycle(site).withdraw(site.study(), ann())
    site.run()
    assert site.study().state is State.WITHDRAWN
    rows = {d.destination: d for d in site.crosswalk.studies.deliveries(1)}
    assert rows["anon"].state == "withdrawn"
    assert "Analysis/notes.txt" in (rows["disk"].last_error or "")
    assert "delete study anon.1.2 there by hand" in (rows["old-pacs"].last_error or "")
    assert site.crosswalk.studies.left_behind() == 2
    with pytest.raises(NotPossibleError, match="disk, old-pacs has something left"):
        lifecycle(site).settle(site.study(), "anonn", ann())
    for _ in range(2):
        lifecycle(site).settle(site.study(), "disk", ann())
    assert site.crosswalk.studies.left_behind() == 1
    assert actions(site)[-1] == "withdrawn at disk"


def test_a_study_that_never_went_out_is_withdrawn_without_asking_anybody(site: Site) -> None:
    site.phi.store(*TWO_FILES)
    site.admit()
    lifecycle(site).withdraw(site.study(), ann())
    site.anon.down = True
    assert site.run() is None
    assert site.study().state is State.WITHDRAWN


# Destinations


def to(*destinations: str) -> Decision:
    return Decision("ann", destinations=destinations)


def reached(site: Site) -> list[tuple[str, str]]:
    return [(row.destination, row.state) for row in site.crosswalk.studies.deliveries(1)]


def test_a_study_goes_only_where_a_person_wants_it(site: Site) -> None:
    site.phi.store(*TWO_FILES)
    study = site.crosswalk.studies.add(
        orthanc_id=next(iter(site.phi.client().studies())).orthanc_id
    )
    lifecycle(site).anonymize(study, to("anon"))
    site.run()
    assert (site.anon.texts(), site.disk.texts()) == (TWO_ANONYMIZED, [])
    assert reached(site) == [("anon", "delivered"), ("disk", "left_out")]
    assert site.study().state is State.DELIVERED
    site.phi.store(file("MRN-1", "1.2", "3"))
    site.admit()
    site.run()
    assert site.disk.texts() == [], "what arrives later goes where the study went"
    lifecycle(site).anonymize(site.study(), to())
    site.run()
    assert reached(site) == [("anon", "delivered"), ("disk", "delivered")]


def test_what_a_study_left_is_still_taken_back_when_it_is_withdrawn(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    lifecycle(site).anonymize(site.study(), to("anon"), force=True)
    site.run()
    assert reached(site) == [("anon", "delivered"), ("disk", "left_out")]
    lifecycle(site).withdraw(site.study(), ann("consent"))
    site.run()
    assert site.anon.texts() == site.disk.texts() == []


def test_only_a_destination_of_the_project_can_be_chosen(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    with pytest.raises(NotPossibleError, match="elsewhere is no destination of project default"):
        lifecycle(site).anonymize(site.study(), to("anon", "elsewhere"), force=True)
    assert site.study().state is State.DELIVERED


def test_a_chosen_destination_that_is_gone_holds_the_study_back(site: Site) -> None:
    site.phi.store(*TWO_FILES)
    study = site.crosswalk.studies.add(
        orthanc_id=next(iter(site.phi.client().studies())).orthanc_id
    )
    site.crosswalk.studies.requeue(study.id, chosen_destinations=["tape"])
    site.run()
    assert site.study().state is State.QUARANTINED
    assert (site.study().reason or "").startswith("no-destination: it is to go to tape")
    assert site.anon.texts() == site.disk.texts() == []
