# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the service, as a person meets them."""

from __future__ import annotations

import argparse
import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from orthanc_deid import config as config_module
from orthanc_deid import service_cli, worker
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.states import State

from .test_config import settings


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
    assert shell("migrate") == (0, "migrated 0003\n", "")
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


def test_a_worker_gives_a_sign_of_life_only_while_its_database_answers(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT", tmp_path / "heartbeat")

    def beat_once() -> bool:
        with suppress(TimeoutError):
            asyncio.run(asyncio.wait_for(worker.beat(shell.crosswalk), 0.5))
        return worker.HEARTBEAT.exists()

    assert not beat_once()  # the database is not migrated
    shell("migrate")
    assert beat_once()
