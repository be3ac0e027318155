# SPDX-License-Identifier: GPL-3.0-or-later
"""No task shows a secret, whatever its result, its loop or its difference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[3] / "roles"

# Where secrets are, and what is made from them.
SECRET = re.compile(
    r"__orthanc_instance_secret\b|__orthanc_instance_json\b|__orthanc_instance_common_settings\b"
    r"|__orthanc_phi_deid_(?:config|settings)\b|__orthanc_phi_(?:database|siblings|destinations)\b"
    r"|(?:orthanc|apache)_\w+_passwords\b|accounts\.sql\.j2|sibling\.json|front\.json"
    r"|__apache_proxy_(?:secret|user_secret|found|fronts|users_read|settings)\b|secrets\.inc\.j2"
)
# A digest tells nothing, nor which destination an answer was for.
HARMLESS = re.compile(r"hash\('sha256'\)|map\(attribute='item'\)")
# It hides its password by itself, and its findings must be seen.
HIDES_BY_ITSELF = "imaging.orthanc.orthanc_health"
# They only pass variables on.
INCLUDES = ("ansible.builtin.include_role", "ansible.builtin.include_tasks")
# What Ansible does not print of a task.
SILENT = {"name", "when", "register", "until", "changed_when", "failed_when", "vars", "no_log"}


def tasks(content: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in content:
        blocks = [task.get(name, []) for name in ("block", "rescue", "always")]
        if any(blocks):
            for block in blocks:
                yield from tasks(block)
        else:
            yield task


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def shows_secret(task: dict[str, Any]) -> bool:
    """Tell whether what Ansible prints of a task could hold a secret, were it not hidden."""
    if task.keys() & {*INCLUDES, HIDES_BY_ITSELF}:
        return False
    tainted = {
        name
        for name, value in task.get("vars", {}).items()
        if any(SECRET.search(text) for text in texts(value))
    }
    printed = texts({key: value for key, value in task.items() if key not in SILENT})
    return any(
        (SECRET.search(text) or any(name in text for name in tainted)) and not HARMLESS.search(text)
        for text in printed
    )


def all_tasks() -> list[Any]:
    return [
        pytest.param(task, id=f"{path.relative_to(ROLES)}: {task.get('name')}")
        for path in sorted(ROLES.glob("*/tasks/**/*.yml"))
        for task in tasks(yaml.safe_load(path.read_text()) or [])
        if shows_secret(task)
    ]


@pytest.mark.parametrize("task", all_tasks())
def test_a_task_with_secrets_hides_them(task: dict[str, Any]) -> None:
    assert task.get("no_log") is True


def test_the_tasks_with_secrets_are_found() -> None:
    found = {parameter.id for parameter in all_tasks()}

    assert {
        "apache_proxy/tasks/accounts.yml: Read address and accounts of each Orthanc",
        "apache_proxy/tasks/accounts.yml: Note address and accounts of each Orthanc",
        "apache_proxy/tasks/stage.yml: Place the accounts in {{ __apache_proxy_stage_dir }}",
        "apache_proxy/tasks/users.yml: Give the others theirs",
        "orthanc_instance/tasks/prepare.yml: Make the secrets",
        "orthanc_instance/tasks/prepare.yml: "
        "Leave address and accounts for the sibling kinds and for Apache",
        "orthanc_instance/tasks/server.yml: Place orthanc.json",
        "orthanc_instance/tasks/database.yml: Place PostgreSQL's accounts and databases",
        "orthanc_phi/tasks/deid.yml: Place the configuration of plugin and workers",
        "orthanc_phi/tasks/destinations.yml: Read address and account of each destination",
    } <= found


@pytest.mark.parametrize(
    "template", ["openssl_privatekey", "assemble"], ids=["private keys", "keys with certificates"]
)
def test_the_difference_of_a_key_is_not_shown(template: str) -> None:
    found = [
        task
        for path in ROLES.glob("*/tasks/**/*.yml")
        for task in tasks(yaml.safe_load(path.read_text()) or [])
        if any(key.endswith(f".{template}") for key in task)
    ]

    assert found
    assert all(task.get("diff") is False for task in found)
