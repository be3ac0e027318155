# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the service, as a person meets them."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from orthanc_deid import config as config_module
from orthanc_deid import lifecycle_cli, orthanc_client, service_cli, worker
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.heartbeat import Heartbeat
from orthanc_deid.states import State

from .fake_orthanc import FakeOrthanc
from .test_config import settings
from .test_migrate import HEAD
from .test_subjects import send_out


class Shell:
    """Runs commands against a database of the test."""

    def __init__(
        self, url: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
    ) -> None:
        self.crosswalk = Crosswalk(url, base_name="DEMO")
        self._config = tmp_path / "config.json"
        self._config.write_text(json.dumps(settings()))
        self._capsys = capsys
        parameters = {"host": url.host, "port": url.port, "user": url.username}
        monkeypatch.setattr(config_module.Database, "url", lambda _: url)
        monkeypatch.setattr(
            config_module.Database, "parameters", lambda _: {**parameters, "dbname": url.database}
        )

    def __call__(self, *words: str) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser()
        service_cli.register(parser.add_subparsers())
        arguments = parser.parse_args([*words, "--config", str(self._config)])
        code = arguments.run(arguments)
        output = self._capsys.readouterr()
        return code, output.out, output.err


@pytest.fixture
def shell(
    empty_database: sa.URL,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    return Shell(empty_database, tmp_path, monkeypatch, capsys)


def test_migrate_says_whether_it_changed_anything(shell: Shell) -> None:
    assert shell("migrate") == (0, f"migrated {HEAD}\n", "")
    assert shell("migrate") == (0, "up to date\n", "")


def test_studies_are_shown_to_people_and_to_programs(shell: Shell) -> None:
    shell("migrate")
    study = shell.crosswalk.studies.add(orthanc_id="abc")
    shell.crosswalk.studies.set_delivery(study.id, "anon", error="refused")
    shell.crosswalk.studies.move(study.id, State.QUEUED, reason="why")
    code, table, _ = shell("studies")
    assert code == 0
    assert "queued" in table
    _, text, _ = shell("studies", "--json")
    (shown,) = json.loads(text)
    assert (shown["id"], shown["state"], shown["reason"]) == (study.id, "queued", "why")
    assert shown["destinations"][0]["last_error"] == "refused"
    assert shell("studies", "--json", "--state", "delivered")[1] == "[]\n"


def test_the_newest_studies_are_shown_and_it_is_told_that_there_may_be_more(shell: Shell) -> None:
    shell("migrate")
    for number in range(3):
        shell.crosswalk.studies.add(orthanc_id=f"s-{number}")
    _, text, error = shell("studies", "--json", "--last", "2")
    assert [study["orthanc_id"] for study in json.loads(text)] == ["s-1", "s-2"]
    assert "the newest 2; --last 0 shows all" in error
    assert len(json.loads(shell("studies", "--json", "--last", "0")[1])) == 3


def test_how_far_a_worker_has_come_is_shown(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shell("migrate")
    studies = shell.crosswalk.studies
    study = studies.add(orthanc_id="abc")
    for state in (State.QUEUED, State.WORKING):
        studies.move(study.id, state)
    progress = {"instances": 120, "read": 80, "deidentified": 78, "destinations": []}
    studies.tell_progress(study.id, progress)
    assert "working 78 of 120" in " ".join(shell("studies")[1].split())
    (shown,) = json.loads(shell("studies", "--json")[1])
    assert shown["progress"] == progress
    studies.move(study.id, State.QUEUED)
    studies.tell_progress(study.id, progress)
    (shown,) = json.loads(shell("studies", "--json")[1])
    assert shown["progress"] is None, "what a worker tells late counts for nothing"


def test_retry_queues_a_quarantined_study(shell: Shell) -> None:
    shell("migrate")
    study = shell.crosswalk.studies.add(orthanc_id="abc")
    for state in (State.QUEUED, State.WORKING, State.QUARANTINED):
        shell.crosswalk.studies.move(study.id, state)
    assert shell("retry", str(study.id)) == (0, f"study {study.id} is queued\n", "")
    after = shell.crosswalk.studies.get(study.id)
    assert after is not None
    assert after.state is State.QUEUED
    query = "SELECT args->>'study' FROM procrastinate_jobs WHERE status = 'todo'"
    with shell.crosswalk.engine.connect() as connection:
        assert connection.scalar(sa.text(query)) == str(study.id)


def test_retry_of_an_unknown_study_says_where_to_look(shell: Shell) -> None:
    shell("migrate")
    code, _, error = shell("retry", "1.2.3")
    assert code == 1
    assert "no study is called 1.2.3; `orthanc-deid studies` shows them all" in error


def test_a_study_is_released_rejected_and_withdrawn_by_command(shell: Shell) -> None:
    shell("migrate")
    studies = shell.crosswalk.studies
    study = studies.add(orthanc_id="abc")
    for state in (State.QUEUED, State.WORKING):
        studies.move(study.id, state)
    studies.move(study.id, State.QUARANTINED, reason="leak: look", findings=["0a leak 0008,0070"])
    code, _, error = shell("release", "abc")
    assert (code, "needs a note" in error) == (1, True)
    told = shell("release", "abc", "--note", "a ward's name", "--by", "ann")
    assert told == (0, f"study {study.id} is queued\n", "")
    code, _, error = shell("reject", "abc")
    assert (code, "withdraw it instead" in error) == (1, True)
    assert shell("withdraw", "abc", "--note", "consent")[1] == f"study {study.id} is withdrawing\n"
    shown = shell("show", "abc")[1]
    assert "accepted by a person: 0a leak 0008,0070" in shown
    assert "ann: queued: released: a ward's name" in shown
    kept = json.loads(shell("show", "abc", "--json")[1])
    assert (kept["state"], kept["reason"]) == ("withdrawing", "consent")


def test_what_was_taken_back_by_hand_is_noted(shell: Shell) -> None:
    shell("migrate")
    studies = shell.crosswalk.studies
    study = studies.add(orthanc_id="abc")
    for state in (State.WITHDRAWING, State.WITHDRAWN):
        studies.move(study.id, state)
    studies.end_delivery(study.id, "pacs", left="tell them")
    assert shell("withdraw", "abc", "--settled", "pacs")[0] == 0
    assert studies.left_behind() == 0


def test_a_study_on_phi_is_asked_for_by_command(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("migrate")
    phi = FakeOrthanc()
    phi.store(b"MRN-1|1.2|series|1|")
    monkeypatch.setattr(lifecycle_cli, "OrthancClient", lambda *_: phi.client())
    assert shell("anonymize", "s-MRN-1-1.2", "--review") == (0, "study 1 is queued\n", "")
    kept = json.loads(shell("show", "1", "--json")[1])
    assert (kept["review"], kept["state"]) == (True, "queued")
    code, _, error = shell("anonymize", "s-MRN-2-1.3")
    assert (code, "PHI Orthanc holds no study s-MRN-2-1.3" in error) == (1, True)


def test_a_list_is_loaded_and_the_studies_that_waited_for_it_go_on(
    shell: Shell, tmp_path: Path
) -> None:
    shell("migrate")
    study = shell.crosswalk.studies.add(orthanc_id="abc")
    for state in (State.QUEUED, State.WORKING):
        shell.crosswalk.studies.move(study.id, state)
    shell.crosswalk.studies.move(study.id, State.QUARANTINED, reason="not-listed: why")
    path = tmp_path / "list.csv"
    path.write_text("\ufeffpatient_id,number\nMRN-1,5\n")
    assert shell("subjects", "load", str(path), "--dry-run") == (
        0,
        "1 new subjects, 1 new identifiers, 0 known already; nothing was changed\n",
        "",
    )
    assert shell("subjects", "load", str(path), "--by", "ann") == (
        0,
        "1 new subjects, 1 new identifiers, 0 known already\n"
        "1 studies that waited are looked at again\n",
        "",
    )
    assert shell.crosswalk.studies.events(study.id)[-1].actor == "ann"
    after = shell.crosswalk.studies.get(study.id)
    assert after is not None
    assert after.state is State.QUEUED
    path.write_text("patient_id,number\nMRN-2,5\n")
    code, _, error = shell("subjects", "load", str(path))
    assert (code, "line 2: subject 5 is another patient" in error) == (1, True)
    assert "MRN-2" not in error


def test_a_list_comes_from_standard_input_too(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("migrate")
    monkeypatch.setattr("sys.stdin", io.StringIO("patient_id,pseudonym\nMRN-1,KNEE-1\n"))
    assert shell("subjects", "load", "-")[0] == 0
    assert shell.crosswalk.subject("MRN-1").patient_id == "KNEE-1"
    code, _, error = shell("subjects", "load", "missing.csv")
    assert (code, "missing.csv cannot be read: No such file" in error) == (1, True)


def test_subjects_are_shown_and_merged(shell: Shell) -> None:
    shell("migrate")
    shell.crosswalk.subject("NEW")
    shell.crosswalk.subject("OLD", "ELSEWHERE")
    shown = shell("subjects", "list")[1]
    assert "DEMO_ID000002" in shown
    assert "OLD of ELSEWHERE" in shown
    assert shell("subjects", "merge", "1", "2")[:2] == (0, "subject 2 is subject 1 from now on\n")
    shown = json.loads(shell("subjects", "list", "OLD", "--json")[1])
    assert [one["number"] for one in shown] == [1]
    (gone,) = json.loads(shell("subjects", "list", "2", "--json")[1])
    assert (gone["merged_into"], gone["identifiers"]) == (1, [])
    assert "merged into 000001" in shell("subjects", "list", "2")[1]


def test_what_must_be_sent_again_after_a_merge_is_told(shell: Shell) -> None:
    shell("migrate")
    send_out(shell.crosswalk, "1")
    out = send_out(shell.crosswalk, "2")
    assert shell("subjects", "merge", "1", "2")[0] == 1
    _, told, _ = shell("subjects", "merge", "1", "2", "--force")
    assert told.splitlines()[1] == (
        f"delete study 2.25.2 at every destination, then: orthanc-deid retry {out}"
    )


def test_the_mapping_is_written_and_leaves_an_event(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("migrate")
    send_out(shell.crosswalk, "1")
    monkeypatch.setattr(config_module.Config, "secret", lambda _: b"k" * 32)
    monkeypatch.setattr(orthanc_client, "OrthancClient", lambda *_: FakeOrthanc().client())
    code, told, error = shell("mapping", str(tmp_path / "map"), "--subject", "1", "--by", "ann")
    assert told == "1 UIDs and 1 Patient IDs of 1 studies\n"
    assert (code, "PHI does not hold all of the studies 1 any more" in error) == (1, True)
    text = (tmp_path / "map/patid_mapping.csv").read_text()
    assert text.splitlines() == ["id_old,id_new", "1,DEMO_ID000001"]
    with shell.crosswalk.engine.connect() as connection:
        query = "SELECT actor, detail FROM events WHERE action = 'mapping exported'"
        assert connection.exec_driver_sql(query).one() == ("ann", "1 studies, subjects: 1")


def test_a_worker_gives_a_sign_of_life_only_while_its_database_answers(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT", tmp_path / "heartbeat")

    heartbeat = Heartbeat(shell.crosswalk.engine, tmp_path)

    def beat_once() -> bool:
        with suppress(TimeoutError):
            asyncio.run(asyncio.wait_for(worker.beat(heartbeat), 0.5))
        return worker.HEARTBEAT.exists()

    assert not beat_once()  # the database is not migrated
    shell("migrate")
    assert beat_once()
