# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).parents[3] / "roles/orthanc_instance"

Ansible = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[..., str]


@pytest.fixture
def render(ansible: Ansible, tmp_path: Path) -> Render:
    """Render a template of orthanc_instance with the role's own variables."""

    def run(template: str, **variables: Any) -> str:
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
            "vars": {
                "ansible_python_interpreter": sys.executable,
                "container_host_images": {"postgres": {"major": "17"}},
            },
            "tasks": [
                {
                    "ansible.builtin.template": {
                        "src": str(ROLE / "templates" / f"{template}.j2"),
                        "dest": str(tmp_path / template),
                        "mode": "0600",
                    }
                }
            ],
        }
        playbook = tmp_path / "render.yml"
        playbook.write_text(yaml.safe_dump([play]))
        given = tmp_path / "given.json"
        given.write_text(json.dumps(variables))
        done = ansible("ansible-playbook", "-i", "localhost,", "-e", f"@{given}", str(playbook))
        assert done.returncode == 0, done.stdout + done.stderr
        return (tmp_path / template).read_text()

    return run


def settings(text: str) -> dict[str, str]:
    """Read postgresql.conf as PostgreSQL does: the last value of a name counts."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = [line.split(" = ", 1) for line in lines]
    return {name: value[1:-1].replace("''", "'") for name, value in pairs}


def test_postgresql_conf_keeps_statements_out_of_the_log_and_wants_tls(render: Render) -> None:
    conf = settings(render("postgresql.conf"))

    assert conf["data_directory"] == "/var/lib/postgresql/data/17"
    assert conf["ssl"] == "on"
    assert conf["ssl_min_protocol_version"] == "TLSv1.2"
    assert conf["password_encryption"] == "scram-sha-256"
    assert conf["log_statement"] == "none"
    assert conf["log_min_error_statement"] == "panic"
    assert conf["log_parameter_max_length_on_error"] == "0"


def test_a_setting_of_the_site_wins_and_may_hold_quotes(render: Render) -> None:
    own = {"shared_buffers": "2GB", "cluster_name": "the site's"}

    conf = settings(render("postgresql.conf", orthanc_instance_database_settings=own))

    assert conf["shared_buffers"] == "2GB"
    assert conf["cluster_name"] == "the site's"


def test_pg_hba_lets_in_over_tls_with_a_password_only(render: Render) -> None:
    rules = [
        line.split()
        for line in render("pg_hba.conf").splitlines()
        if line and not line.startswith("#")
    ]

    assert ["local", "all", "postgres", "peer"] in rules
    for kind, *_, method in rules:
        assert (kind, method) in {("local", "peer"), ("hostssl", "scram-sha-256")}


def test_pg_hba_lets_workers_of_other_hosts_in_one_by_one(render: Render) -> None:
    rules = render(
        "pg_hba.conf",
        orthanc_instance_database_clients=["192.0.2.13", "2001:db8::13"],
        orthanc_instance_databases=[{"name": "philookup", "user": "worker"}],
    )
    assert [line.split() for line in rules.splitlines() if "philookup" in line] == [
        ["hostssl", "philookup", "worker", address, "scram-sha-256"]
        for address in ("192.0.2.13/32", "2001:db8::13/128")
    ]


def test_accounts_get_their_secrets_and_no_more_rights_than_they_need(render: Render) -> None:
    sql = render(
        "accounts.sql",
        __orthanc_instance_secret={
            "secrets": {"orthanc": "Aaa1", "philookup_owner": "Bbb2", "philookup": "Ccc3"}
        },
        orthanc_instance_databases=[
            {"name": "philookup", "owner": "philookup_owner", "user": "philookup"}
        ],
    )

    for account, password in (
        ("orthanc", "Aaa1"),
        ("philookup_owner", "Bbb2"),
        ("philookup", "Ccc3"),
    ):
        (line,) = [line for line in sql.splitlines() if line.startswith(f"ALTER ROLE {account} ")]
        assert f"PASSWORD '{password}'" in line
        for right in ("NOSUPERUSER", "NOCREATEDB", "NOCREATEROLE", "NOREPLICATION", "NOBYPASSRLS"):
            assert right in line
    assert "CREATE DATABASE orthanc OWNER orthanc" in sql
    assert "CREATE DATABASE philookup OWNER philookup_owner" in sql
    assert "GRANT CONNECT ON DATABASE philookup TO philookup;" in sql
    assert sql.index("log_statement = 'none'") < sql.index("PASSWORD '")
