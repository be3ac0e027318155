# SPDX-License-Identifier: GPL-3.0-or-later
"""What the crosswalk promises to its users, on PostgreSQL and on SQLite."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from orthanc_deid import crosswalk as crosswalk_module
from orthanc_deid.conditions import parse_conditions
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.errors import Quarantine
from orthanc_deid.numbering import Cohort, Numbering, PseudonymFormat
from orthanc_deid.patient import ROUND_TRIP, NotListed, Patient
from orthanc_deid.states import TRANSITIONS, IllegalTransitionError, State
from orthanc_deid.studies import AmbiguousNameError
from orthanc_deid.subject import Subject


def test_a_patient_gets_a_pseudonym_from_the_base_name_and_a_number(crosswalk: Crosswalk) -> None:
    subject = crosswalk.subject("MRN-1")
    assert subject.number == 1
    assert subject.patient_id == "DEMO_ID000001"
    assert subject.patient_name == "DEMO^ID000001^^^"


def test_the_same_patient_gets_the_same_subject_again(crosswalk: Crosswalk) -> None:
    assert crosswalk.subject("MRN-1") == crosswalk.subject("MRN-1")


def test_spaces_around_a_patient_id_do_not_matter(crosswalk: Crosswalk) -> None:
    assert crosswalk.subject(" MRN-1  ") == crosswalk.subject("MRN-1")


def test_the_same_id_from_two_issuers_is_two_patients(crosswalk: Crosswalk) -> None:
    assert crosswalk.subject("1", "A").number != crosswalk.subject("1", "B").number


@pytest.mark.parametrize("patient_id", ["", "   "])
def test_without_a_patient_id_the_study_waits_for_a_person(
    crosswalk: Crosswalk, patient_id: str
) -> None:
    with pytest.raises(Quarantine, match="PatientID") as caught:
        crosswalk.subject(patient_id)
    assert caught.value.code == "no-patient-id"


def test_dates_move_back_by_one_to_365_days_and_not_alike(crosswalk: Crosswalk) -> None:
    offsets = [crosswalk.subject(f"MRN-{number}").date_offset for number in range(40)]
    assert all(-365 <= offset <= -1 for offset in offsets)
    assert len(set(offsets)) > 5


def test_random_numbers_lie_between_1_and_999999_and_differ(database: sa.URL) -> None:
    drawn = Crosswalk(database, base_name="DEMO", numbering=Numbering("random"))
    numbers = [drawn.subject(f"MRN-{number}").number for number in range(20)]
    assert all(1 <= number <= 999_999 for number in numbers)
    assert len(set(numbers)) == 20
    assert numbers != sorted(numbers)


def test_when_no_random_number_is_free_the_error_says_what_to_do(
    database: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crosswalk_module, "MAX_RANDOM_NUMBER", 2)
    drawn = Crosswalk(database, base_name="DEMO", numbering=Numbering("random"))
    assert {drawn.subject("a").number, drawn.subject("b").number} == {1, 2}
    with pytest.raises(Quarantine, match="set numbering to monotonic"):
        drawn.subject("c")


def test_a_project_that_changes_from_random_to_monotonic_repeats_no_number(
    database: sa.URL,
) -> None:
    drawn = (
        Crosswalk(database, base_name="DEMO", numbering=Numbering("random")).subject("first").number
    )
    assert Crosswalk(database, base_name="DEMO").subject("second").number == drawn + 1


def test_two_projects_number_the_same_patient_each_in_its_own_way(database: sa.URL) -> None:
    one = Crosswalk(database, base_name="ONE", project="one")
    one.subject("somebody else")
    two = Crosswalk(database, base_name="TWO", project="two")
    assert one.subject("MRN-1").patient_id == "ONE_ID000002"
    assert two.subject("MRN-1").patient_id == "TWO_ID000001"


def crosswalk_with(url: sa.URL, numbering: Numbering) -> Crosswalk:
    return Crosswalk(url, base_name="DEMO", numbering=numbering)


BLOCKS = (Cohort("few", 11, 13), Cohort("nobody", 21, 22))


def test_a_cohort_gives_the_lowest_free_number_of_its_block(embedded: sa.URL) -> None:
    crosswalk = crosswalk_with(embedded, Numbering("cohort", BLOCKS))
    with crosswalk.engine.begin() as connection:
        crosswalk.lock_project(connection)
        crosswalk.insert_subject(connection, 12)
    assert [crosswalk.subject(name).number for name in ("a", "b", "a")] == [11, 13, 11]
    with pytest.raises(Quarantine, match="cohort few has used all its numbers, 11 to 13") as caught:
        crosswalk.subject("c")
    assert caught.value.code == "no-number-left"


def test_a_new_patient_of_no_cohort_waits_for_a_person(embedded: sa.URL) -> None:
    breast = Cohort("breast", 1, 9, parse_conditions([{"Modality": "MG"}])[0])
    crosswalk = crosswalk_with(embedded, Numbering("cohort", (breast,)))
    assert crosswalk.subject("a", samples=[{"Modality": "MG"}]).number == 1
    assert crosswalk.subject("a", samples=[{"Modality": "CT"}]).number == 1
    with pytest.raises(Quarantine, match="no cohort"):
        crosswalk.subject("b", samples=[{"Modality": "CT"}])


def test_each_accession_may_be_a_subject_of_its_own(crosswalk: Crosswalk) -> None:
    crosswalk.numbering = Numbering(subject_per="accession")
    one, other = crosswalk.subject("MRN-1", "", "A1"), crosswalk.subject("MRN-1", "", "A2")
    assert (one.number, other.number) == (1, 2)
    assert crosswalk.subject("MRN-1", "", "A1") == one
    with pytest.raises(Quarantine, match="AccessionNumber"):
        crosswalk.subject("MRN-1")


def test_without_an_issuer_a_patient_is_one_of_the_sites_own(crosswalk: Crosswalk) -> None:
    crosswalk.numbering = Numbering(issuer="HERE")
    assert crosswalk.subject("1", "HERE") == crosswalk.subject("1")
    assert crosswalk.subject("1", "ELSEWHERE").number == 2
    crosswalk.demand_same([Patient("1"), Patient("1", "HERE"), Patient(" 1 ", "", "accession")])
    with pytest.raises(Quarantine, match="do not agree"):
        crosswalk.demand_same([Patient("1"), Patient("1", "ELSEWHERE")])


def test_a_site_that_names_its_issuer_later_finds_its_patients(crosswalk: Crosswalk) -> None:
    stated = crosswalk.subject("1", "HERE")
    silent = crosswalk.subject("2")
    crosswalk.numbering = Numbering(issuer="HERE")
    assert crosswalk.subject("1") == stated
    assert crosswalk.subject("2", "HERE") == silent


def test_a_patient_known_with_and_without_the_sites_issuer_must_be_merged(
    crosswalk: Crosswalk,
) -> None:
    crosswalk.subject("1", "HERE")
    crosswalk.subject("1")
    crosswalk.numbering = Numbering(issuer="HERE")
    with pytest.raises(Quarantine, match="subjects merge 1 2") as caught:
        crosswalk.subject("1")
    assert caught.value.code == "two-subjects"


def test_a_patient_that_is_in_no_list_waits(crosswalk: Crosswalk) -> None:
    crosswalk.numbering = Numbering("given")
    with pytest.raises(NotListed, match="subjects load") as caught:
        crosswalk.subject("MRN-1")
    assert caught.value.patient == Patient("MRN-1")
    assert "MRN-1" not in repr(caught.value)
    crosswalk.numbering = Numbering("given", unlisted="number")
    assert crosswalk.subject("MRN-1").number == 1


@pytest.mark.parametrize(
    "numbering",
    [
        Numbering(),
        Numbering("random"),
        Numbering("cohort", (Cohort("breast", 1, 9, parse_conditions([{"Modality": "MG"}])[0]),)),
        Numbering("given"),
        Numbering(subject_per="accession"),
    ],
    ids=lambda numbering: f"{numbering.scheme}, per {numbering.subject_per}",
)
def test_the_sites_own_test_uses_up_no_number_of_a_patient(
    embedded: sa.URL, numbering: Numbering
) -> None:
    site = Crosswalk(embedded, base_name="DEMO", numbering=numbering)
    tested = [site.subject(*ROUND_TRIP, "ROUND-TRIP-0", samples=[{}]) for _ in range(2)]
    assert tested[0] == tested[1]
    assert tested[0].number == 999_999_999
    assert Crosswalk(embedded, base_name="DEMO").subject("MRN-1").number == 1


def test_a_changed_format_never_gives_one_pseudonym_to_two_subjects(embedded: sa.URL) -> None:
    def named(base: str) -> Crosswalk:
        formats = PseudonymFormat("{base}{number}", "{base}{number}")
        return Crosswalk(embedded, base_name=base, numbering=Numbering(pseudonym=formats))

    for number in range(1, 12):
        assert named("A").subject(str(number)).number == number
    with pytest.raises(Quarantine, match="subject 1 belongs to another") as caught:
        named("A1").subject("1")  # A11
    assert caught.value.code == "pseudonym-reused"


def _ask_for_subjects(url: str, patients: list[str], numbering: str) -> list[Subject]:
    scheme = Numbering(numbering, (Cohort("all", 101, 125),))  # type: ignore[arg-type]
    opened = Crosswalk(url, base_name="DEMO", numbering=scheme)
    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(opened.subject, patients))


@pytest.mark.parametrize("numbering", ["monotonic", "random", "cohort"])
def test_many_workers_that_meet_the_same_new_patients_agree(
    database: sa.URL, numbering: str
) -> None:
    patients = [f"MRN-{number}" for number in range(25)]
    url = database.render_as_string(hide_password=False)
    with ProcessPoolExecutor(4) as workers:
        asked = [
            workers.submit(_ask_for_subjects, url, patients[start:] + patients[:start], numbering)
            for start in (0, 0, 10, 20)
        ]
        answers = [{subject.number: subject for subject in answer.result()} for answer in asked]
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0]) == 25
    if numbering == "monotonic":
        assert sorted(answers[0]) == list(range(1, 26))
    if numbering == "cohort":
        assert sorted(answers[0]) == list(range(101, 126))


def test_many_threads_may_share_the_embedded_store(embedded: sa.URL) -> None:
    patients = [f"MRN-{number % 10}" for number in range(40)]
    answers = _ask_for_subjects(str(embedded), patients, "monotonic")
    assert sorted({answer.number for answer in answers}) == list(range(1, 11))


def test_a_study_is_received_once_however_often_it_is_announced(crosswalk: Crosswalk) -> None:
    first = crosswalk.studies.add(orthanc_id="abc")
    assert first.state is State.RECEIVED
    assert crosswalk.studies.add(orthanc_id="abc") == first
    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(lambda _: crosswalk.studies.add(orthanc_id="new").id, range(16)))
    assert len(set(seen)) == 1


def _bring_to(crosswalk: Crosswalk, study_id: int, state: State) -> None:
    path = {
        State.RECEIVED: [],
        State.STABLE: [State.STABLE],
        State.QUEUED: [State.QUEUED],
        State.WORKING: [State.QUEUED, State.WORKING],
        State.DELIVERING: [State.QUEUED, State.WORKING, State.DELIVERING],
        State.DELIVERED: [State.QUEUED, State.WORKING, State.DELIVERING, State.DELIVERED],
        State.QUARANTINED: [State.QUEUED, State.WORKING, State.QUARANTINED],
        State.REVIEW: [State.QUEUED, State.WORKING, State.REVIEW],
        State.REJECTED: [State.REJECTED],
        State.WITHDRAWING: [State.QUEUED, State.WITHDRAWING],
        State.WITHDRAWN: [State.WITHDRAWING, State.WITHDRAWN],
    }[state]
    for step in path:
        crosswalk.studies.move(study_id, step)


@pytest.mark.parametrize("start", list(State))
def test_a_study_moves_only_where_its_state_allows(embedded: sa.URL, start: State) -> None:
    crosswalk = Crosswalk(embedded, base_name="DEMO")
    for target in State:
        study_id = crosswalk.studies.add(orthanc_id=f"to {target}").id
        _bring_to(crosswalk, study_id, start)
        if target in TRANSITIONS[start]:
            crosswalk.studies.move(study_id, target)
            expected = target
        else:
            with pytest.raises(IllegalTransitionError, match=f"{start} cannot become {target}"):
                crosswalk.studies.move(study_id, target)
            expected = start
        after = crosswalk.studies.get(study_id)
        assert after is not None
        assert after.state is expected


def test_every_move_leaves_an_event_with_its_actor(crosswalk: Crosswalk) -> None:
    study = crosswalk.studies.add(orthanc_id="abc")
    crosswalk.studies.move(study.id, State.QUEUED, actor="ann", reason="asked by hand")
    happened = crosswalk.studies.events(study.id)
    assert [(event.actor, event.action, event.detail) for event in happened] == [
        ("orthanc_deid", "received", None),
        ("ann", "queued", "asked by hand"),
    ]


def test_a_study_is_found_by_each_of_its_names(crosswalk: Crosswalk) -> None:
    study = crosswalk.studies.add(orthanc_id="abc")
    crosswalk.studies.identify(
        study.id,
        study_instance_uid="1.2.3",
        anonymous_study_uid="2.25.7",
        subject=crosswalk.subject("MRN-1"),
    )
    for name in ("abc", "1.2.3", "2.25.7", str(study.id)):
        found = crosswalk.studies.find(name)
        assert found is not None
        assert (found.id, found.number) == (study.id, 1)
    assert crosswalk.studies.find("2.25.8") is None
    assert crosswalk.studies.is_anonymous("2.25.7")
    assert not crosswalk.studies.is_anonymous("1.2.3")


def test_a_name_that_means_several_studies_is_refused(crosswalk: Crosswalk) -> None:
    first = crosswalk.studies.add(orthanc_id="abc")
    crosswalk.studies.add(orthanc_id=str(first.id))
    with pytest.raises(AmbiguousNameError, match=r"1 \(default\), 2 \(default\)"):
        crosswalk.studies.find(str(first.id))


def test_two_patients_with_one_study_instance_uid_are_not_merged(crosswalk: Crosswalk) -> None:
    for orthanc_id, patient in (("a", "MRN-1"), ("b", "MRN-2")):
        study = crosswalk.studies.add(orthanc_id=orthanc_id)
        subject = crosswalk.subject(patient)
        if patient == "MRN-1":
            crosswalk.studies.identify(
                study.id,
                study_instance_uid="1.2.3",
                anonymous_study_uid="2.25.7",
                subject=subject,
            )
        else:
            with pytest.raises(Quarantine, match="another patient") as caught:
                crosswalk.studies.identify(
                    study.id,
                    study_instance_uid="1.2.3",
                    anonymous_study_uid="2.25.7",
                    subject=subject,
                )
            assert caught.value.code == "study-uid-reused"


def test_a_delivery_is_pending_until_it_is_whole_and_keeps_its_last_error(
    crosswalk: Crosswalk,
) -> None:
    study = crosswalk.studies.add(orthanc_id="abc")
    crosswalk.studies.set_delivery(study.id, "anon", error="refused the connection")
    (pending,) = crosswalk.studies.deliveries(study.id)
    assert (pending.state, pending.last_error) == ("pending", "refused the connection")
    crosswalk.studies.set_delivery(study.id, "anon", instances=3)
    (done,) = crosswalk.studies.deliveries(study.id)
    assert (done.state, done.instances, done.last_error) == ("delivered", 3, None)
    assert done.delivered_at is not None


def test_counts_name_every_state(crosswalk: Crosswalk) -> None:
    crosswalk.studies.add(orthanc_id="abc")
    assert crosswalk.studies.counts() == {
        state: 1 if state is State.RECEIVED else 0 for state in State
    }


def test_the_database_itself_refuses_what_no_worker_may_write(crosswalk: Crosswalk) -> None:
    crosswalk.subject("MRN-1")
    wrong = [
        "UPDATE subjects SET date_offset = 0",
        "UPDATE patient_identifiers SET patient_id = ''",
        "UPDATE patient_identifiers SET subject_id = 99",
        "UPDATE subjects SET merged_into = id",
        "UPDATE subjects SET pseudonym = ''",
        "UPDATE subjects SET number = -1",
        "UPDATE subjects SET project = 'unknown'",
        "INSERT INTO studies (project, orthanc_id, state, created_at, updated_at) "
        "VALUES ('default', 'x', 'lost', '2026-01-01', '2026-01-01')",
    ]
    for statement in wrong:
        with pytest.raises(sa.exc.IntegrityError), crosswalk.engine.begin() as connection:
            connection.exec_driver_sql(statement)


def test_a_database_error_does_not_show_the_patient(database: sa.URL) -> None:
    gone = Crosswalk(database.set(database="nowhere"), base_name="DEMO")
    with pytest.raises(sa.exc.OperationalError) as caught:
        gone.subject("MRN-SECRET")
    assert "MRN-SECRET" not in str(caught.value)


def test_studies_are_listed_by_state_project_and_subject_a_page_at_a_time(
    crosswalk: Crosswalk,
) -> None:
    for number in range(1, 6):
        crosswalk.studies.add(orthanc_id=f"s-{number}")
    subject = crosswalk.subject("MRN-1")
    crosswalk.studies.identify(
        4, study_instance_uid="1.2.4", anonymous_study_uid="2.25.4", subject=subject
    )
    crosswalk.studies.move(2, State.QUEUED)

    def page(**asked: Any) -> list[int]:
        return [study.id for study in crosswalk.studies.page(**{"limit": 3, **asked})]

    assert page() == [1, 2, 3]
    assert page(after=3) == [4, 5]
    assert page(states=[State.QUEUED]) == [2]
    assert page(subject_number=subject.number) == [4]
    assert page(projects=frozenset({"another"})) == []
