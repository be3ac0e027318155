# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of one study through a worker, between Orthancs in memory and a real crosswalk."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from orthanc_deid import orthanc_client, progress
from orthanc_deid.admission import Admission
from orthanc_deid.conditions import Conditions
from orthanc_deid.logs import JsonFormatter
from orthanc_deid.modifiers import NumberModifier
from orthanc_deid.numbering import Cohort, Numbering
from orthanc_deid.rectangles import Rectangle
from orthanc_deid.schema import patient_identifiers
from orthanc_deid.states import State

from .fake_orthanc import file
from .site import TWO_ANONYMIZED, TWO_FILES, Site


@pytest.fixture
def site(embedded: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(orthanc_client, "PAUSES", (0.0,))
    return Site(embedded, tmp_path / "spool")


def test_a_study_arrives_anonymized_at_every_destination(site: Site) -> None:
    assert site.receive_and_run(*TWO_FILES) is None
    assert site.anon.texts() == site.disk.texts() == TWO_ANONYMIZED
    study = site.study()
    assert (study.state, study.anonymous_study_uid, study.number) == ("delivered", "anon.1.2", 1)
    assert [
        (d.destination, d.state, d.instances) for d in site.crosswalk.studies.deliveries(1)
    ] == [
        ("anon", "delivered", 2),
        ("disk", "delivered", 2),
    ]


def test_a_destination_gets_what_its_filter_takes_and_the_rest_is_noted(site: Site) -> None:
    site.phi.sender = "MR2"
    site.filters = {
        "anon": Conditions(({"RemoteAET": ("mr2",)},)),
        "disk": Conditions(({"RemoteAET": ("ct1",)},)),
    }
    assert site.receive_and_run(*TWO_FILES) is None
    assert (site.anon.texts(), site.disk.texts()) == (TWO_ANONYMIZED, [])
    assert site.study().state == "delivered"
    assert [(d.destination, d.state) for d in site.crosswalk.studies.deliveries(1)] == [
        ("anon", "delivered"),
        ("disk", "left_out"),
    ]


def test_a_study_that_every_destination_leaves_out_waits_for_a_person(site: Site) -> None:
    site.filters = dict.fromkeys(("anon", "disk"), Conditions(({"RemoteAET": ("ct1",)},)))
    assert site.receive_and_run(*TWO_FILES) is None
    assert site.study().state == "quarantined"
    assert (site.study().reason or "").startswith("no-destination: ")
    assert {d.state for d in site.crosswalk.studies.deliveries(1)} == {"left_out"}
    site.filters = {}
    site.admission.request(site.study())
    assert site.run() is None
    assert site.anon.texts() == site.disk.texts() == TWO_ANONYMIZED


def test_a_destination_that_hangs_holds_up_no_other(site: Site) -> None:
    released = threading.Event()
    site.anon.before = lambda _method, _path: released.wait(20) and None
    site.phi.store(*TWO_FILES)
    site.admit()
    working = threading.Thread(target=site.run)
    working.start()
    deadline = time.monotonic() + 15
    while site.disk.texts() != TWO_ANONYMIZED and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (site.anon.texts(), site.disk.texts()) == ([], TWO_ANONYMIZED)
    released.set()
    working.join()
    assert site.anon.texts() == TWO_ANONYMIZED


def test_what_one_instance_tells_is_taken_out_of_the_others(site: Site) -> None:
    site.receive_and_run(*TWO_FILES, file("MRN-1", "1.2", "3", "alias seen"))
    assert TWO_ANONYMIZED[1].removesuffix("seen ") + " " in site.anon.texts()


def test_a_number_that_the_patient_had_before_is_taken_out(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    with site.crosswalk.engine.begin() as connection:
        connection.execute(
            patient_identifiers.insert().values(
                project="default",
                patient_id="old-4711",
                subject_id=1,
                created_at=datetime.now(UTC),
            )
        )
    site.phi.store(file("MRN-1", "1.3", "9", "was old 4711 then"))
    site.admit()
    site.run(2)
    assert "DEMO_ID000001|anon.1.3|series|anon.9|was  then" in site.anon.texts()


def test_nothing_stays_in_the_spool(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    assert list(site.spool.iterdir()) == []


def test_a_delivered_study_is_not_done_twice(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    site.queued.clear()
    site.admit()
    assert site.queued == []
    site.anon.requests.clear()
    assert site.run() is None
    assert site.anon.requests == []


def test_late_instances_are_delivered_too(site: Site) -> None:
    site.receive_and_run(TWO_FILES[0])
    assert site.receive_and_run(TWO_FILES[1]) is None
    assert site.anon.texts() == site.disk.texts() == TWO_ANONYMIZED
    assert site.study().source_instances == 2


def test_what_is_there_already_is_not_sent_again(site: Site) -> None:
    site.receive_and_run(TWO_FILES[0])
    site.receive_and_run(TWO_FILES[1])
    assert site.anon.requests.count("POST /instances") == 2


def test_a_target_that_tells_but_some_of_what_is_searched_for_is_asked_for_its_list(
    site: Site,
) -> None:
    site.anon.find_limit = 1
    assert site.receive_and_run(*TWO_FILES) is None
    assert site.study().state is State.DELIVERED
    assert "GET /studies/s-DEMO_ID000001-anon.1.2/instances" in site.anon.requests


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ([file(" ", "1.2", "1")], "no-patient-id"),
        ([*TWO_FILES, file("MRN-1", "1.2", "3", "truncated")], "unreadable"),
        ([*TWO_FILES, file("MRN-1", "1.2", "3", "burned-in")], "burned-in"),
        ([*TWO_FILES, file("MRN-1", "1.2", "3", "bug")], "internal-error"),
        ([*TWO_FILES, file("MRN-1", "1.2", "3", "deidentified")], "already-deidentified"),
        ([file("MRN-1", "1.2", "1", "issuer A"), file("MRN-1", "1.2", "2", "issuer B")], "mixed"),
    ],
)
def test_one_bad_instance_keeps_the_whole_study_back(
    site: Site, files: list[bytes], code: str
) -> None:
    assert site.receive_and_run(*files) is None
    study = site.study()
    assert study.state is State.QUARANTINED
    assert study.reason is not None
    assert study.reason.startswith(code)
    assert "MRN-1" not in study.reason
    assert site.anon.instances == site.disk.instances == {}
    assert len(site.phi.instances) == len(files)
    assert list(site.spool.iterdir()) == []


def test_what_the_profile_drops_is_left_out_and_counted(site: Site) -> None:
    assert site.receive_and_run(*TWO_FILES, file("MRN-1", "1.2", "3", "letter")) is None
    assert site.anon.texts() == site.disk.texts() == TWO_ANONYMIZED
    study = site.study()
    assert (study.state, study.source_instances) == ("delivered", 3)
    record = site.record()
    assert (record["instances"], record["dropped"]) == (2, {"document": 1})
    site.queued.clear()
    site.admit()
    assert site.queued == []


def test_a_study_of_which_nothing_is_left_is_held_back(site: Site) -> None:
    site.receive_and_run(file("MRN-1", "1.2", "1", "letter"))
    assert site.study().state is State.QUARANTINED
    assert str(site.study().reason).startswith("nothing-left")


def test_a_quarantined_study_waits_until_its_content_changes(site: Site) -> None:
    site.receive_and_run(file("MRN-1", "1.2", "1", "burned-in"))
    site.queued.clear()
    site.admit()
    assert site.queued == []
    site.phi.store(file("MRN-1", "1.2", "1"))
    site.admit()
    assert site.queued == [(1, 0)]
    assert site.run() is None
    assert site.study().state is State.DELIVERED


def test_the_same_study_uid_of_two_patients_is_not_merged(site: Site) -> None:
    site.phi.store(file("MRN-1", "1.2", "1"), file("MRN-2", "1.2", "2"))
    site.admit()
    assert site.run(1) is None
    assert site.run(2) is None
    assert site.study(1).state is State.DELIVERED
    assert site.study(2).state is State.QUARANTINED
    assert len(site.anon.instances) == 1


def test_a_destination_that_is_down_does_not_keep_the_study_from_the_others(site: Site) -> None:
    site.disk.down = True
    pause = site.receive_and_run(*TWO_FILES)
    assert pause == 5
    assert site.study().state is State.QUEUED
    assert site.anon.texts() == TWO_ANONYMIZED
    anon, disk = site.crosswalk.studies.deliveries(1)
    assert (anon.state, disk.state) == ("delivered", "pending")
    assert disk.last_error == "disk cannot be reached: ConnectError"


def test_while_all_pending_destinations_are_down_the_work_is_not_done_again(site: Site) -> None:
    site.disk.down = True
    site.receive_and_run(*TWO_FILES)
    site.phi.requests.clear()
    assert site.run() == 10
    assert site.phi.requests == []


def test_attempts_go_on_for_ever_at_most_five_minutes_apart(site: Site) -> None:
    site.disk.down = True
    pauses = [site.receive_and_run(*TWO_FILES)] + [site.run() for _ in range(12)]
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-1] == 300
    site.disk.down = False
    assert site.run() is None
    assert site.study().state is State.DELIVERED
    assert site.study().attempts == 0
    assert site.anon.requests.count("POST /instances") == 2


def test_an_instance_that_the_target_dropped_is_delivered_when_it_takes_it(site: Site) -> None:
    site.anon.status = "FilteredOut"
    assert site.receive_and_run(*TWO_FILES) == 5
    study = site.study()
    assert study.state is State.QUEUED
    assert study.reason is not None
    assert "FilteredOut" in study.reason
    assert site.disk.texts() == TWO_ANONYMIZED
    site.anon.status = "Success"
    assert site.run() is None
    assert site.anon.texts() == TWO_ANONYMIZED


def test_what_the_target_accepted_but_does_not_hold_is_sent_again(site: Site) -> None:
    site.anon.loses = True
    assert site.receive_and_run(*TWO_FILES) == 5
    assert site.study().state is State.QUEUED
    site.anon.loses = False
    assert site.run() is None
    assert site.anon.texts() == TWO_ANONYMIZED


def test_a_tree_that_is_not_whole_is_not_delivered(site: Site) -> None:
    site.disk.disk_room = 1
    assert site.receive_and_run(*TWO_FILES) == 5
    (_, disk) = site.crosswalk.studies.deliveries(1)
    assert disk.last_error == "disk has written 1 of 2 instances into its tree"
    site.disk.disk_room = 10
    assert site.run() is None


def test_a_tree_that_lacks_an_earlier_instance_is_not_delivered_either(site: Site) -> None:
    site.disk.unwritten = 1
    assert site.receive_and_run(*TWO_FILES) == 5
    assert site.study().state is State.QUEUED


def test_a_study_that_is_still_being_received_is_looked_at_later(site: Site) -> None:
    site.phi.store(*TWO_FILES)
    site.admit()
    site.phi.stable = False
    assert site.run() == 15
    assert site.anon.instances == {}


def test_a_study_that_changes_under_way_is_done_again_and_whole(site: Site) -> None:
    def add_one(_method: str, path: str) -> None:
        if path.endswith("1/file") and len(site.phi.instances) == 1:
            site.phi.store(TWO_FILES[1])

    site.phi.before = add_one
    assert site.receive_and_run(TWO_FILES[0]) == 15
    assert site.anon.instances == {}
    assert site.run() is None
    assert site.anon.texts() == TWO_ANONYMIZED


def test_a_study_deleted_under_way_ends_its_job_with_an_event(site: Site) -> None:
    def delete(_method: str, path: str) -> None:
        if path.endswith("/file") and site.phi.updates:
            site.phi.delete("s-MRN-1-1.2")

    site.phi.before = delete
    assert site.receive_and_run(*TWO_FILES) is None
    assert site.study().state is State.RECEIVED
    assert site.crosswalk.studies.events(1)[-1].detail == "deleted before it was done"
    assert site.anon.instances == {}


def test_a_worker_that_stops_gives_the_study_back(site: Site) -> None:
    site.stopping = True
    assert site.receive_and_run(*TWO_FILES) == 0
    assert site.study().state is State.QUEUED
    site.stopping = False
    assert site.run() is None
    assert site.anon.texts() == TWO_ANONYMIZED


def test_a_study_of_a_dead_worker_is_taken_up(site: Site) -> None:
    site.phi.store(*TWO_FILES)
    site.admit()
    site.crosswalk.studies.move(1, State.WORKING)
    (site.spool / "study-1").mkdir(parents=True)
    (site.spool / "study-1" / "left.dcm").write_bytes(b"left")
    assert site.run() is None
    assert site.anon.texts() == TWO_ANONYMIZED


def test_an_anonymized_study_that_comes_back_is_left_alone(site: Site) -> None:
    site.receive_and_run(*TWO_FILES)
    site.queued.clear()
    site.phi.store(*site.anon.instances.values())
    site.admit()
    assert site.queued == []


def test_a_cohort_may_ask_who_sent_the_study(site: Site) -> None:
    research = Cohort("research", 500, 599, Conditions(({"RemoteAET": ("mr2",)},)))
    site.crosswalk.numbering = Numbering("cohort", (research,))
    site.phi.sender = "CT1"
    site.receive_and_run(*TWO_FILES)
    assert (site.study().reason or "").startswith("no-cohort")
    site.phi.sender = "MR2"
    site.admission.request(site.study())
    assert site.run() is None
    assert site.study().number == 500


def test_a_study_keeps_the_modifier_with_which_it_first_went_out(site: Site) -> None:
    from_mr2 = Conditions(({"RemoteAET": ("mr2",)},))
    site.number_modifiers = (NumberModifier(from_mr2, "s", "d"),)
    site.phi.sender = "MR2"
    site.receive_and_run(TWO_FILES[0])
    site.phi.sender = "CT1"
    site.receive_and_run(TWO_FILES[1])
    assert site.anon.texts() == [
        "DEMO_ID000001s|anon.1.2|series|anon.1|",
        "DEMO_ID000001s|anon.1.2|series|anon.2|seen ",
    ]
    site.phi.store(file("MRN-1", "9.9", "3"))
    site.admit()
    site.run(2)
    assert "DEMO_ID000001d|anon.9.9|series|anon.3|" in site.anon.texts()


def test_an_unlisted_patient_waits_until_the_list_has_it(site: Site) -> None:
    site.crosswalk.numbering = Numbering("given")
    assert site.receive_and_run(*TWO_FILES) is None
    assert (site.study().reason or "").startswith("not-listed")
    assert "MRN-1" not in (site.study().reason or "")
    assert site.anon.instances == {}


def test_a_list_that_is_loaded_while_the_study_begins_to_wait_is_seen(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.crosswalk.numbering = Numbering("given")
    monkeypatch.setattr(site.crosswalk, "is_listed", lambda _: True)
    assert site.receive_and_run(*TWO_FILES) == 0
    assert site.study().state is State.QUEUED


def test_instances_of_two_accessions_are_two_subjects_where_that_counts(site: Site) -> None:
    site.crosswalk.numbering = Numbering(subject_per="accession")
    site.receive_and_run(
        file("MRN-1", "1.2", "1", "accession A1"), file("MRN-1", "1.2", "2", "accession A2")
    )
    assert (site.study().reason or "").startswith("mixed-identity")


def test_the_log_names_no_identity(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="orthanc_deid")
    site.receive_and_run(*TWO_FILES, file("MRN-1", "1.2", "3", "bug"))
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert any("KeyError at fake_orthanc.py" in line for line in lines)
    assert any('"anonymous_study_uid": "anon.1.2"' in line for line in lines)
    for line in lines:
        for identity in ("MRN-1", '"1.2"', "s-MRN"):
            assert identity not in line


def test_without_automatic_a_study_only_becomes_stable(site: Site) -> None:
    by_hand = Admission(site.crosswalk.studies, site, automatic=False)
    site.phi.store(*TWO_FILES)
    for found in site.phi.client().studies():
        by_hand.consider(found)
    assert site.queued == []
    assert site.study().state is State.STABLE


def test_all_studies_are_seen_however_many_pages_they_fill(site: Site) -> None:
    for number in range(7):
        site.phi.store(file("MRN-1", f"1.{number}", "1"))
    site.admit()
    assert [study for study, _ in site.queued] == [1, 2, 3, 4, 5, 6, 7]


def test_the_whole_way_asks_nothing_identified_of_a_destination(site: Site) -> None:
    seen: list[Any] = []
    site.anon.before = lambda method, path: seen.append((method, path))
    site.receive_and_run(*TWO_FILES)
    assert seen
    assert "MRN-1" not in str(seen)


def test_a_study_goes_out_when_what_held_it_back_is_drawn_over(site: Site) -> None:
    site.receive_and_run(file("MRN-1", "1.2.3", "1", "burned-in"))
    assert site.study().state is State.QUARANTINED
    image = {"StudyInstanceUID": "1.2.3", "Rows": "48", "Columns": "64"}
    area = [Rectangle(0, 0, 64, 8)]
    site.crosswalk.drawn_rules.add(1, image, area, scope="study", actor="ann")
    site.crosswalk.studies.requeue(1, actor="ann")
    site.run()
    assert site.study().state is State.DELIVERED


def test_progress_is_told_by_instance_and_destination_while_a_worker_has_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    told: list[Any] = []
    site.disk.before = lambda _method, _path: told.append(site.study().progress)
    site.anon.before = site.disk.before
    site.receive_and_run(*TWO_FILES)
    last = told[-1]
    assert (last["instances"], last["read"], last["deidentified"]) == (2, 2, 2)
    assert [one["destination"] for one in last["destinations"]] == ["anon", "disk"]
    for place, name in enumerate(("anon", "disk")):
        sent = [report["destinations"][place]["sent"] for report in told if report["destinations"]]
        assert max(sent) == 2, f"{name} was asked whether it has all without a word of both files"
    assert site.study().progress is None, "a study that is done has no progress"


def test_progress_is_told_once_a_second_and_its_failure_holds_up_no_study(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    told: list[int] = []

    class Kept:
        def tell_progress(self, _study_id: int, progress: dict[str, Any]) -> None:
            told.append(progress["read"])
            raise sa.exc.OperationalError("update", {}, Exception("gone"))

    counting = progress.Progress(Kept(), 1, 10)
    for _ in range(10):
        now[0] += 0.4
        counting.read()
    assert told == [3, 6, 9]
    assert site.receive_and_run(*TWO_FILES) is None
