# SPDX-License-Identifier: GPL-3.0-or-later
"""What a broker does with subjects: load a list of them, merge two, and look them up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.errors import Quarantine
from orthanc_deid.numbering import Numbering
from orthanc_deid.patient import NotListed
from orthanc_deid.states import State
from orthanc_deid.subject import Subject
from orthanc_deid.subject_list import ListError, read_list
from orthanc_deid.subjects import Loaded, MergeError, Subjects


def load(crosswalk: Crosswalk, *lines: str, **options: Any) -> Loaded:
    entries = read_list(lines, crosswalk.numbering.issuer)
    return Subjects(crosswalk).load(entries, actor="broker", **options)


def clashes(crosswalk: Crosswalk, *lines: str, **options: Any) -> list[str]:
    with pytest.raises(ListError) as caught:
        load(crosswalk, *lines, **options)
    return caught.value.problems


def audit(crosswalk: Crosswalk) -> list[tuple[str, str, str]]:
    query = "SELECT actor, action, detail FROM events WHERE study_id IS NULL ORDER BY id"
    with crosswalk.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def send_out(crosswalk: Crosswalk, patient: str, modifier: str = "") -> int:
    """A study of the patient that has been delivered; returns its number."""
    subject = crosswalk.subject(patient, modifier=modifier)
    study = crosswalk.studies.add(orthanc_id=f"s-{patient}-1.2.{patient}")
    crosswalk.studies.move(study.id, State.QUEUED)
    crosswalk.studies.move(study.id, State.WORKING)
    crosswalk.studies.identify(
        study.id,
        study_instance_uid=f"1.2.{patient}",
        anonymous_study_uid=f"2.25.{patient}",
        subject=subject,
    )
    assert crosswalk.studies.begin_delivery(study.id, subject)
    crosswalk.studies.finish(study.id)
    return study.id


def test_a_list_gives_numbers_and_pseudonyms(crosswalk: Crosswalk) -> None:
    crosswalk.numbering = Numbering("given")
    loaded = load(
        crosswalk,
        "patient_id,issuer,accession,number,pseudonym,name",
        "MRN-1,,,17,,",
        "MRN-2,ELSEWHERE,,,KNEE-2,Knee^Two",
        "MRN-3,,A1,30,,",
        "MRN-3,,A2,31,,",
    )
    assert (loaded.new_subjects, loaded.new_identifiers) == (4, 4)
    assert crosswalk.subject("MRN-1").patient_id == "DEMO_ID000017"
    knee = crosswalk.subject("MRN-2", "ELSEWHERE")
    assert (knee.patient_id, knee.patient_name) == ("KNEE-2", "Knee^Two")
    assert crosswalk.subject("MRN-2", "ELSEWHERE", modifier="s").patient_id == "KNEE-2s"
    assert [crosswalk.subject("MRN-3", "", accession).number for accession in ("A1", "A2")] == [
        30,
        31,
    ]
    with pytest.raises(NotListed):
        crosswalk.subject("MRN-3", "", "A3")
    assert audit(crosswalk) == [("broker", "subjects loaded", "4 new subjects, 4 new identifiers")]


def test_an_accession_in_the_list_comes_before_its_patient(crosswalk: Crosswalk) -> None:
    load(crosswalk, "patient_id,accession,number", "MRN-1,,5", "MRN-1,A1,6")
    assert crosswalk.subject("MRN-1", "", "A1").number == 6
    assert crosswalk.subject("MRN-1", "", "A2").number == 5


def test_a_list_may_be_loaded_again_and_grow(crosswalk: Crosswalk) -> None:
    lines = ["patient_id,number", "MRN-1,5"]
    load(crosswalk, *lines)
    loaded = load(crosswalk, *lines, "MRN-2,6")
    assert (loaded.new_subjects, loaded.known) == (1, 1)


def test_a_list_is_loaded_whole_or_not_at_all(crosswalk: Crosswalk) -> None:
    known = crosswalk.subject("MRN-1")
    assert clashes(crosswalk, "patient_id,number", "MRN-0,7", "MRN-1,9", "MRN-2,1") == [
        "line 3: the patient is subject 1 already; keep that number, or join the two with "
        "`orthanc-deid subjects merge`",
        "line 4: subject 1 is another patient; give another number, or load with --former-ids "
        "if both Patient IDs are one person's",
    ]
    assert [subject.number for subject in Subjects(crosswalk).find()] == [known.number]
    assert audit(crosswalk) == []


def test_a_dry_run_finds_clashes_and_changes_nothing(crosswalk: Crosswalk) -> None:
    loaded = load(crosswalk, "patient_id,number", "MRN-1,5", dry_run=True)
    assert loaded.new_subjects == 1
    assert Subjects(crosswalk).find() == []
    assert audit(crosswalk) == []


def test_former_ids_share_a_number_only_if_that_is_said(crosswalk: Crosswalk) -> None:
    lines = ["patient_id,number", "MRN-1,5", "MRN-OLD,5"]
    assert "line 3: subject 5 is another patient" in clashes(crosswalk, *lines)[0]
    load(crosswalk, *lines, former_ids=True)
    assert crosswalk.subject("MRN-1") == crosswalk.subject("MRN-OLD")


@pytest.mark.parametrize(
    ("pseudonym", "clash"),
    [
        ("DEMO_ID000001", "is how subject 1 is called"),
        ("DEMO_ID000999", "is how subject 999 is called"),
        ("DEMO_ID000999s_2d", "is how subject 999 is called"),
        ("TAKEN", "subject 2 is another patient"),
    ],
)
def test_no_pseudonym_can_come_to_belong_to_two(
    crosswalk: Crosswalk, pseudonym: str, clash: str
) -> None:
    crosswalk.subject("MRN-1")
    load(crosswalk, "patient_id,pseudonym", "MRN-2,TAKEN")
    (problem,) = clashes(crosswalk, "patient_id,pseudonym", f"MRN-3,{pseudonym}")
    assert clash in problem


def test_where_accessions_are_subjects_a_line_names_one(crosswalk: Crosswalk) -> None:
    crosswalk.numbering = Numbering("given", subject_per="accession")
    (problem,) = clashes(crosswalk, "patient_id,number", "MRN-1,5")
    assert "accession is empty" in problem


def test_the_sites_issuer_may_stand_in_a_list_or_not(crosswalk: Crosswalk) -> None:
    crosswalk.numbering = Numbering("given", issuer="HERE")
    load(crosswalk, "patient_id,issuer,number", "MRN-1,HERE,5")
    assert load(crosswalk, "patient_id,issuer,number", "MRN-1,,5").known == 1
    assert crosswalk.subject("MRN-1").number == 5


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["mrn,number"], "line 1: 'mrn' is no column"),
        (["number"], "line 1: there is no column patient_id"),
        (["patient_id"], "line 1: there is neither a column number nor a column pseudonym"),
        (["patient_id,number"], "the list has no lines below its headings"),
        (["patient_id,number", ",1"], "line 2: patient_id is empty"),
        (["patient_id,number", "MRN-1"], "line 2: it has not as many values"),
        (["patient_id,number", "MRN-1,0"], "line 2: number must be a whole number from 1"),
        (["patient_id,number", "MRN-1,\N{SUPERSCRIPT TWO}"], "line 2: number must be"),
        (["patient_id,number,pseudonym", "MRN-1,,"], "number and pseudonym are both empty"),
        (["patient_id,pseudonym", "MRN-1,Zo\xeb"], "line 2: pseudonym gives"),
        (["patient_id,number", "MRN-1,1", "MRN-1,2"], "line 3: line 2 gives the same patient"),
        (
            ["patient_id,number,pseudonym", "MRN-1,1,A", "MRN-2,1,B"],
            "line 3: line 2 gives the same number another pseudonym",
        ),
        (
            ["patient_id,number,pseudonym", "MRN-1,1,A", "MRN-2,2,A"],
            "line 3: line 2 gives the same pseudonym another number",
        ),
    ],
)
def test_what_is_wrong_in_a_list_is_told_by_its_line_and_without_the_patient(
    lines: list[str], problem: str
) -> None:
    with pytest.raises(ListError) as caught:
        read_list(lines)
    assert problem in str(caught.value)
    assert "MRN" not in str(caught.value)


@given(
    numbers=st.lists(st.integers(1, 10**6), min_size=1, max_size=30, unique=True),
    issuer=st.sampled_from(["", "HERE"]),
)
def test_every_line_becomes_an_entry(numbers: list[int], issuer: str) -> None:
    lines = [f"MRN-{number},{issuer},{number}" for number in numbers]
    entries = read_list(["patient_id,issuer,number", *lines], "HERE")
    assert [entry.number for entry in entries] == numbers
    assert {entry.patient.issuer for entry in entries} == {""}


def test_lists_that_are_loaded_at_once_do_not_give_a_number_twice(database: sa.URL) -> None:
    def load_own(name: str) -> bool:
        try:
            load(Crosswalk(database, base_name="DEMO"), "patient_id,number", f"{name},5")
        except ListError:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(load_own, ["A", "B", "C", "D"])) == 1


def test_a_list_and_workers_agree_on_numbers(database: sa.URL) -> None:
    def number(patient: str) -> int:
        return Crosswalk(database, base_name="DEMO").subject(patient).number

    lines = [f"LISTED-{index}," for index in range(10)]
    pseudonyms = [f"{line}P{index}" for index, line in enumerate(lines)]
    with ThreadPoolExecutor(3) as threads:
        loading = threads.submit(
            load, Crosswalk(database, base_name="DEMO"), "patient_id,pseudonym", *pseudonyms
        )
        met = list(threads.map(number, [f"MET-{index}" for index in range(10)]))
        assert loading.result().new_subjects == 10
    everybody = Subjects(Crosswalk(database, base_name="DEMO")).find()
    assert len({subject.number for subject in everybody}) == 20
    assert len(set(met)) == 10


def test_a_merged_patient_is_the_subject_that_was_kept(crosswalk: Crosswalk) -> None:
    kept, other = crosswalk.subject("NEW"), crosswalk.subject("OLD")
    assert Subjects(crosswalk).merge(kept.number, other.number, actor="broker") == []
    assert crosswalk.subject("OLD") == kept
    assert crosswalk.subject("THIRD").number == 3
    assert audit(crosswalk) == [("broker", "subjects merged", "subject 2 into subject 1")]


def test_a_number_that_was_merged_away_is_not_used_again(crosswalk: Crosswalk) -> None:
    crosswalk.subject("NEW"), crosswalk.subject("OLD")
    Subjects(crosswalk).merge(1, 2, actor="broker")
    (problem,) = clashes(crosswalk, "patient_id,number", "MRN-3,2")
    assert "subject 2 was merged into another one" in problem
    for keep, other in ((2, 1), (1, 2)):
        with pytest.raises(MergeError, match="subject 2 was merged already"):
            Subjects(crosswalk).merge(keep, other, actor="broker")


@pytest.mark.parametrize(("keep", "other", "problem"), [(1, 1, "name two"), (1, 9, "no subject 9")])
def test_a_merge_of_wrong_numbers_says_so(
    crosswalk: Crosswalk, keep: int, other: int, problem: str
) -> None:
    crosswalk.subject("MRN-1")
    with pytest.raises(MergeError, match=problem):
        Subjects(crosswalk).merge(keep, other, actor="broker")


def test_subjects_whose_studies_have_gone_out_are_merged_by_force_only(
    crosswalk: Crosswalk,
) -> None:
    send_out(crosswalk, "1")
    out = send_out(crosswalk, "2")
    with pytest.raises(MergeError, match=f"studies {out} have to be deleted at every destination"):
        Subjects(crosswalk).merge(1, 2, actor="broker")
    assert Subjects(crosswalk).merge(1, 2, actor="broker", force=True) == [out]
    study = crosswalk.studies.get(out)
    assert study is not None
    assert study.number == 1
    assert audit(crosswalk)[-1][2] == "subject 2 into subject 1, forced"
    crosswalk.studies.identify(
        out,
        study_instance_uid="1.2.2",
        anonymous_study_uid="2.25.2",
        subject=crosswalk.subject("2"),
    )


def test_the_other_way_round_is_proposed_where_nothing_would_be_sent_again(
    crosswalk: Crosswalk,
) -> None:
    crosswalk.subject("1")
    send_out(crosswalk, "2")
    with pytest.raises(MergeError, match="merge 2 1, so that nothing has to be sent again"):
        Subjects(crosswalk).merge(1, 2, actor="broker")
    assert Subjects(crosswalk).merge(2, 1, actor="broker") == []


def test_a_study_under_way_does_not_go_out_as_the_subject_that_was_merged_away(
    crosswalk: Crosswalk,
) -> None:
    crosswalk.subject("1")
    other = crosswalk.subject("2")
    study = crosswalk.studies.add(orthanc_id="s")
    crosswalk.studies.move(study.id, State.QUEUED)
    crosswalk.studies.move(study.id, State.WORKING)

    def identify(subject: Subject) -> None:
        crosswalk.studies.identify(
            study.id, study_instance_uid="1.2", anonymous_study_uid="2.25", subject=subject
        )

    identify(other)
    Subjects(crosswalk).merge(1, 2, actor="broker")
    assert not crosswalk.studies.begin_delivery(study.id, other)
    identify(other)  # by a worker that asked for the subject before the merge
    assert not crosswalk.studies.begin_delivery(study.id, other)
    identify(crosswalk.subject("2"))
    assert crosswalk.studies.begin_delivery(study.id, crosswalk.subject("2"))


def test_a_study_that_has_gone_out_is_not_given_to_another_subject(crosswalk: Crosswalk) -> None:
    out = send_out(crosswalk, "1")
    with pytest.raises(Quarantine, match="gone out as another subject's") as caught:
        crosswalk.studies.identify(
            out,
            study_instance_uid="1.2.1",
            anonymous_study_uid="2.25.1",
            subject=crosswalk.subject("2"),
        )
    assert caught.value.code == "subject-changed"


@pytest.mark.parametrize("text", ["1", "MRN-1", "DEMO_ID000001", "DEMO_ID000001s"])
def test_a_subject_is_found_by_each_of_its_names(crosswalk: Crosswalk, text: str) -> None:
    send_out(crosswalk, "MRN-1")
    crosswalk.subject("MRN-1", modifier="s")
    crosswalk.subject("MRN-2")
    (found,) = Subjects(crosswalk).find(text)
    assert (found.number, found.studies) == (1, 1)
    assert found.pseudonyms == ("DEMO_ID000001", "DEMO_ID000001s")
    assert [one.patient_id for one in found.identifiers] == ["MRN-1"]
    assert Subjects(crosswalk).find("MRN") == []
