# SPDX-License-Identifier: GPL-3.0-or-later
"""The linter's rules of this tree: what they find, and that the linter really asks them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from qualified_names import short_names
from static_secret import static_secrets
from volume_mode import silent_mounts

ROOT = Path(__file__).parents[3]
WRONG = """---
- name: Run something
  hosts: localhost
  gather_facts: false
  vars:
    service_password: hunter2
  roles:
    - orthanc_phi
  tasks:
    - name: Run a container
      community.docker.docker_container:
        name: one
        image: one
        volumes: ["/srv:/srv"]
"""


def found(rule: Any, text: str) -> list[str]:
    return [name for name, _ in rule(DataLoader().load(text))]


@pytest.mark.parametrize(
    "text",
    [
        "service_password: hunter2",
        "orthanc_phi_passwords: {viewer: hunter2}",
        "tasks: [{debug: {api_token: abc}}]",
        "a: {client_secret: '4711'}",
    ],
)
def test_a_secret_in_plain_text_is_found(text: str) -> None:
    assert len(found(static_secrets, text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "service_password: '{{ lookup(1) }}'",
        "password_file: /etc/secret",
        "uid_key: /etc/orthanc/uid_key",
        "password: {type: str, description: Of the account.}",
        "orthanc_phi_passwords: {}",
        "secret: /etc/orthanc/phi/secrets/service",
    ],
)
def test_what_is_looked_up_elsewhere_is_no_secret(text: str) -> None:
    assert found(static_secrets, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "volumes: [/srv:/data]",
        "volumes: \"{{ [a ~ ':/data'] }}\"",
        "mounts: [{source: /srv, target: /data}]",
        "all_mounts: \"{{ [{'source': a, 'target': '/data'}] }}\"",
    ],
)
def test_a_mount_without_its_mode_is_found(text: str) -> None:
    assert len(found(silent_mounts, text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "volumes: [/srv:/data:ro, '{{ a }}:/b:rw', /nameless]",
        "volumes: \"{{ [a ~ ':/data:rw'] }}\"",
        "mounts: [{source: /srv, target: /data, read_only: true}]",
        "all_mounts: \"{{ [{'source': a, 'target': '/data', 'read_only': false}] }}\"",
    ],
)
def test_a_mount_with_its_mode_is_well(text: str) -> None:
    assert found(silent_mounts, text) == []


def test_short_names_are_found() -> None:
    play = """
    - hosts: all
      roles: [orthanc_phi, {role: imaging.orthanc.firewall}]
      tasks:
        - ansible.builtin.include_role: {name: container_host}
        - ansible.builtin.include_role: {name: "imaging.orthanc.{{ item }}"}
        - ansible.builtin.debug: {msg: "{{ lookup('file', 'a') ~ query('ansible.builtin.file') }}"}
    """
    assert found(short_names, play) == ["orthanc_phi", "container_host", "file"]


def test_the_linter_asks_every_rule_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "playbook.yml").write_text(WRONG)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-lint")), "--offline", "--nocolor", "-q",
         "--format", "pep8", "--config-file", str(ROOT / ".ansible-lint"),
         "--rules-dir", str(ROOT / ".ansible-lint-rules"), "-R", "playbook.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    for line, rule in ((6, "static-secret"), (2, "qualified-names"), (12, "volume-mode")):
        assert f"playbook.yml:{line}: {rule}" in done.stdout, done.stdout + done.stderr
