# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings file: what is read from it, and what is said of what is wrong in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from orthanc_deid import config
from orthanc_deid.numbering import Numbering

PASSWORD = "Tops3cret"


def settings() -> dict[str, Any]:
    server = {"url": "https://orthanc-phi:8042", "user": "service", "password": PASSWORD}
    return {
        "base_name": "DEMO",
        "database": {
            "host": "orthanc-phi-db",
            "name": "philookup",
            "user": "philookup",
            "password": PASSWORD,
            "ca": "/etc/orthanc-deid/ca.crt",
        },
        "orthanc": {**server, "ca": "/etc/orthanc-deid/ca.crt"},
        "secret_file": "/etc/orthanc-deid/uid.key",
        "destinations": [
            {"name": "anon", "kind": "orthanc", **server, "ca": "/etc/orthanc-deid/ca.crt"}
        ],
        "spool_dir": "/var/spool/orthanc-deid",
    }


def load(tmp_path: Path, content: Any) -> config.Config:
    path = tmp_path / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return config.load(path)


def test_what_is_not_set_has_its_documented_default(tmp_path: Path) -> None:
    loaded = load(tmp_path, settings())
    assert (loaded.project, loaded.profile) == ("default", "research")
    assert loaded.numbering == Numbering()
    assert (loaded.auto_anonymize, loaded.forward) == (True, True)
    assert (loaded.database.port, loaded.reconcile_minutes) == (5432, 5)


def test_no_password_is_shown(tmp_path: Path) -> None:
    loaded = load(tmp_path, settings())
    assert PASSWORD not in repr(loaded)
    assert PASSWORD not in str(loaded.database.url())


def test_the_database_certificate_is_always_verified(tmp_path: Path) -> None:
    database = load(tmp_path, settings()).database
    assert database.url().query["sslmode"] == "verify-full"
    assert database.parameters()["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"base_name": None}, "base_name: is missing"),
        ({"base_name": "IRB 12"}, "base_name: must be 1 to 32 letters, digits or underscores"),
        (
            {"numbering": "odd"},
            "must be one of monotonic, random, cohort, given, not 'odd'",
        ),
        ({"auto_anonymize": "yes"}, "auto_anonymize: must be true or false, not a text"),
        ({"reconcile_minutes": 0}, "reconcile_minutes: must lie between 1 and 59, not 0"),
        ({"reconcile_minutes": True}, "reconcile_minutes: must be a whole number"),
        ({"spool_dir": "spool"}, "spool_dir: must be an absolute path, not spool"),
        ({"spol_dir": "/x"}, "spol_dir: is not a setting; correct its name or remove it"),
        ({"destinations": []}, "destinations: is empty; name at least one"),
        ({"destinations": settings()["destinations"] * 2}, "'anon' is the name of several"),
        ({"tag_actions": {"StationName": 1}}, "tag_actions.StationName: must be an action's name"),
        ({"pixel_rules": {}}, "pixel_rules: must be a list, not an object"),
        ({"database": {}}, "database.host: is missing"),
        ({"orthanc": {"url": "http://phi"}}, "orthanc.url: must start with https://"),
    ],
)
def test_every_problem_is_told_with_its_key(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    content = {key: value for key, value in {**settings(), **changes}.items() if value is not None}
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, content)
    assert problem in str(caught.value)
    assert str(tmp_path / "config.json") in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    content = {**settings(), "base_name": "", "numbering": "odd"}
    content["destinations"][0].update(kind="tape")
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, content)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "base_name",
        "numbering",
        "destinations[0].kind",
    ]


def test_without_forwarding_no_destination_is_needed(tmp_path: Path) -> None:
    assert load(tmp_path, {**settings(), "forward": False, "destinations": []}).forward is False


@pytest.mark.parametrize("content", ["", "[]", '{"base_name": '])
def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(config.ConfigError, match="JSON"):
        load(tmp_path, content)


@pytest.mark.parametrize(("secret", "problem"), [(None, "cannot be read"), (b"short", "5 bytes")])
def test_a_missing_or_short_secret_is_refused(
    tmp_path: Path, secret: bytes | None, problem: str
) -> None:
    path = tmp_path / "uid.key"
    if secret is not None:
        path.write_bytes(secret)
    loaded = load(tmp_path, {**settings(), "secret_file": str(path)})
    with pytest.raises(config.ConfigError, match=problem):
        loaded.secret()


def test_the_secret_is_the_files_content_without_its_last_newline(tmp_path: Path) -> None:
    path = tmp_path / "uid.key"
    path.write_bytes(b"k" * 32 + b"\n")
    assert load(tmp_path, {**settings(), "secret_file": str(path)}).secret() == b"k" * 32
