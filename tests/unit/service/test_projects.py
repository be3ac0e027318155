# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects: which studies join them, and that two of them have nothing in common."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from orthanc_deid import cli, config, orthanc_client
from orthanc_deid.admission import Admission
from orthanc_deid.anonymization import StudyRunner
from orthanc_deid.config import Config, ConfigError
from orthanc_deid.courier import Courier
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.destinations_orthanc import OrthancDestination
from orthanc_deid.engine import Engine
from orthanc_deid.engines import Engines
from orthanc_deid.project_runners import ProjectRunners
from orthanc_deid.projects import NoSuchProjectError, Projects, check_projects, join_by_rule
from orthanc_deid.states import State
from orthanc_deid.study_deidentification import Deidentification

from .fake_orthanc import FakeEngine, FakeOrthanc, file, read_identity
from .test_config import settings

KNEE = {"name": "knee", "base_name": "KNEE", "where": [{"StudyDescription": ["knee"]}]}
LUNG = {"name": "lung", "base_name": "LUNG", "where": [{"RemoteAET": ["CT7"]}]}
CHOSEN = {"name": "chosen", "base_name": "HAND", "join": "choice"}


def load(tmp_path: Path, *projects: dict[str, Any], **further: Any) -> Config:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**settings(), **further, "projects": list(projects)}))
    return config.load(path)


class Site:
    """A PHI Orthanc whose studies join projects, a worker for all of them, and an Anon."""

    def __init__(self, url: sa.URL, spool: Path, projects: Projects) -> None:
        self.phi, self.anon = FakeOrthanc("phi"), FakeOrthanc("anon")
        self.crosswalk = Crosswalk(url, base_name="SITE")
        self.studies = self.crosswalk.studies
        self.queued: list[int] = []
        join = join_by_rule(projects, self.phi.client())
        self.admission = Admission(self.studies, self, join=join)
        self.own = {
            project.name: Crosswalk(
                self.crosswalk.engine,
                base_name=project.config.base_name,
                project=project.name,
                numbering=project.config.numbering,
            )
            for project in projects.all
        }
        self.spool = spool

    def put(self, study_id: int, delay: float = 0) -> None:
        del delay
        self.queued.append(study_id)

    def admit(self) -> None:
        for found in self.phi.client().studies():
            self.admission.consider(found)

    def work(self, *without: str) -> None:
        runners = {
            name: StudyRunner(
                crosswalk=own,
                source=self.phi.client(),
                deidentification=self.deidentification(name),
                courier=Courier(own.studies, [OrthancDestination(self.anon.client())]),
                spool_dir=self.spool,
            )
            for name, own in self.own.items()
            if name not in without
        }
        courier = Courier(self.studies, [OrthancDestination(self.anon.client())])
        runner = ProjectRunners(self.studies, runners, courier)
        while self.queued:
            runner.run(self.queued.pop(0))

    def deidentification(self, project: str) -> Callable[[str | None], Deidentification]:
        """An engine whose UIDs follow from the project's key."""
        engine = cast(Engine, FakeEngine(root=project))
        return lambda _profile: Deidentification(engine, read_identity)

    def states(self) -> dict[str, str]:
        return {study.project: study.state for study in self.studies.in_states()}


@pytest.fixture
def site(database: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(orthanc_client, "PAUSES", (0.0,))
    return Site(database, tmp_path / "spool", Projects.of(load(tmp_path, KNEE, LUNG, CHOSEN)))


def test_a_study_joins_every_project_whose_rule_it_meets(site: Site) -> None:
    site.phi.description, site.phi.sender = "MR KNEE left", "CT7"
    site.phi.store(file("MRN-1", "1.2", "1"))
    site.admit()
    site.work()
    assert site.states() == {"knee": State.DELIVERED, "lung": State.DELIVERED}
    names = {text.split("|")[0] for text in site.anon.texts()}
    assert names == {"KNEE_ID000001", "LUNG_ID000001"}


def test_a_study_that_meets_no_rule_joins_nothing(site: Site) -> None:
    site.phi.store(file("MRN-1", "1.2", "1"))
    site.admit()
    assert site.states() == {}


def test_the_same_patient_has_a_number_and_a_date_offset_of_its_own_in_each_project(
    site: Site,
) -> None:
    knee, lung = site.own["knee"], site.own["lung"]
    lung.subject("MRN-0")
    one, other = knee.subject("MRN-1"), lung.subject("MRN-1")
    assert (one.patient_id, other.patient_id) == ("KNEE_ID000001", "LUNG_ID000002")
    assert knee.subject("MRN-1") == one
    offsets = {
        (knee.subject(f"P{n}").date_offset, lung.subject(f"P{n}").date_offset) for n in range(9)
    }
    assert any(mine != others for mine, others in offsets)


def test_uids_and_numbers_of_two_projects_cannot_be_joined_and_match_inside_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Config, "secret", lambda _: b"s" * 32)
    knee, lung, chosen = Projects.of(load(tmp_path, KNEE, LUNG, CHOSEN)).all
    made = {project.name: Engines(project.config)().engine for project in (knee, lung, chosen)}
    uids = {engine.map_uid("1.2.3") for engine in made.values()}
    numbers = {engine.number_for("accession", "1.2.3") for engine in made.values()}
    assert (len(uids), len(numbers)) == (3, 3)
    assert Engines(knee.config)().engine.map_uid("1.2.3") == made["knee"].map_uid("1.2.3")


def test_a_site_without_projects_keeps_its_keys_and_pseudonyms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Config, "secret", lambda _: b"s" * 32)
    (only,) = Projects.of(load(tmp_path)).all
    named = Projects.of(load(tmp_path, {"name": "default"})).all[0]
    assert only.name == "default"
    one, other = (Engines(project.config)().engine for project in (only, named))
    assert one.map_uid("1.2.3") == other.map_uid("1.2.3")


def test_instances_that_come_later_go_out_in_every_project_of_the_study(site: Site) -> None:
    site.phi.description, site.phi.sender = "MR KNEE left", "CT7"
    site.phi.store(file("MRN-1", "1.2", "1"))
    site.admit()
    site.work()
    site.phi.description = "renamed"
    site.phi.store(file("MRN-1", "1.2", "2"))
    site.admit()
    site.work()
    assert len([text for text in site.anon.texts() if text.split("|")[3].endswith(".2")]) == 2


def test_a_study_of_a_project_that_is_gone_waits_and_can_be_withdrawn(site: Site) -> None:
    site.phi.sender = "CT7"
    site.phi.store(file("MRN-1", "1.2", "1"))
    site.admit()
    site.work("lung")
    (study,) = site.studies.in_states()
    assert study.state is State.QUARANTINED
    assert (study.reason or "").startswith("no-project: project lung is not in the settings")
    site.studies.move(study.id, State.WITHDRAWING)
    site.put(study.id)
    site.work("lung")
    assert site.states() == {"lung": State.WITHDRAWN}


def test_a_study_is_taken_back_from_where_its_project_does_not_deliver_any_more(
    site: Site,
) -> None:
    site.phi.sender = "CT7"
    site.phi.store(file("MRN-1", "1.2", "1"))
    site.admit()
    site.work()
    site.studies.move(1, State.WITHDRAWING)
    anon = OrthancDestination(site.anon.client())
    study = site.studies.get(1)
    assert study is not None
    Courier(site.studies, [], former=[anon]).withdraw(study)
    assert site.anon.texts() == []
    assert [row.state for row in site.studies.deliveries(1)] == ["withdrawn"]


def test_what_was_withdrawn_joins_no_other_project(site: Site) -> None:
    site.phi.sender = "CT7"
    site.phi.store(file("MRN-1", "1.2", "1"))
    site.admit()
    site.studies.move(1, State.WITHDRAWING)
    site.phi.description = "knee"
    site.phi.store(file("MRN-1", "1.2", "2"))
    site.admit()
    assert site.states() == {"lung": State.WITHDRAWING}


def test_a_project_inherits_what_it_does_not_decide_itself(tmp_path: Path) -> None:
    shared = {"issuer": "HOSPITAL", "profile": "full_dates", "review": True}
    own = {**LUNG, "profile": "basic", "review": False, "issuer": "", "destinations": ["anon"]}
    knee, lung = Projects.of(load(tmp_path, KNEE, own, **shared)).all
    assert (knee.config.numbering.issuer, knee.config.profile) == ("HOSPITAL", "full_dates")
    assert (lung.config.numbering.issuer, lung.config.profile) == ("", "basic")
    assert (knee.config.review, lung.config.review) == (True, False)
    assert [one.name for one in lung.config.destinations] == ["anon"]
    assert len(knee.config.destinations) == len(settings()["destinations"])


@pytest.mark.parametrize(
    ("projects", "problem"),
    [
        ([KNEE, {**LUNG, "base_name": "KNEE"}], "may give two people the same pseudonym"),
        ([KNEE, {**KNEE, "base_name": "B"}], "'knee' is the name of several"),
        ([{**KNEE, "destinations": ["pacs"]}], "projects[0].destinations: 'pacs' is none"),
        ([{**KNEE, "where": [{"PatientName": ["x"]}]}], "asks for PatientName; a rule may ask"),
        ([{**KNEE, "nmae": "x"}], "projects[0].nmae: is not a setting"),
        ([{**KNEE, "name": "a b"}], "projects[0].name: must be 1 to 32 letters"),
    ],
)
def test_projects_that_cannot_work_are_refused_with_the_fix(
    tmp_path: Path, projects: list[dict[str, Any]], problem: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, *projects)
    assert problem in str(refused.value)
    told = check_projects({"base_name": "SITE", "destinations": ["anon"], "projects": projects})
    assert any(problem in line for line in told)


def test_formats_that_run_into_each_other_are_refused_too() -> None:
    formats = {"patient_id": "{base}{number}", "patient_name": "{base}{number}"}
    one = {"name": "a", "base_name": "A", "pseudonym": formats}
    other = {"name": "b", "base_name": "A1", "pseudonym": formats}
    told = check_projects({"base_name": "SITE", "projects": [one, other]})
    assert any("may give two people the same pseudonym" in line for line in told)


def test_the_check_is_a_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(projects: dict[str, Any]) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"projects": projects})))
        return cli.main(["settings", "check"])

    assert check({"projects": [KNEE]}) == 0
    assert check({"base_name": "SITE", "projects": [{"name": "x"}, {"name": "y"}]}) == 1
    assert "orthanc-deid: projects: 'x' and 'y' may give" in capsys.readouterr().err


def test_where_there_are_several_a_person_names_one(tmp_path: Path) -> None:
    projects = Projects.of(load(tmp_path, KNEE, LUNG))
    assert projects.demand("lung").config.base_name == "LUNG"
    for name, told in ((None, "name a project; the settings have knee, lung"), ("x", "no project")):
        with pytest.raises(NoSuchProjectError, match=told):
            projects.demand(name)
