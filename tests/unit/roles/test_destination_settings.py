# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role makes of the destinations of the inventory, and says about them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from orthanc_deid.destination_config import check_destinations

ROLE = Path(__file__).parents[3] / "roles/orthanc_phi"
OPTIONS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"][
    "options"
]["orthanc_phi_destinations"]["options"]
FOLDERS = [
    {"name": "share", "kind": "folder", "path": "/data/share one"},
    {"name": "pacs", "kind": "dicom", "host": "pacs", "aet": "PACS"},
    {"name": "knees", "kind": "folder", "path": "/data/knees", "where": [{"Modality": "MR"}]},
    {"name": "partner", "url": "https://partner", "user": "u", "password": "Tops3cret"},
]


@pytest.fixture
def render(ansible: Callable[..., Any], tmp_path: Path) -> Callable[[str], Any]:
    """Evaluate an expression with the variables of the role and these destinations."""

    def run(expression: str) -> Any:
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
            "vars": {"ansible_python_interpreter": sys.executable},
            "tasks": [
                {
                    "ansible.builtin.copy": {
                        "content": f"{{{{ ({expression}) | to_json }}}}",
                        "dest": str(tmp_path / "rendered.json"),
                        "mode": "0600",
                    }
                }
            ],
        }
        playbook = tmp_path / "render.yml"
        playbook.write_text(yaml.safe_dump([play]))
        given = json.dumps({"orthanc_phi_destinations": FOLDERS})
        done = ansible("ansible-playbook", "-i", "localhost,", "-e", given, str(playbook))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((tmp_path / "rendered.json").read_text())

    return run


def test_folders_are_mounted_into_the_workers_by_their_own_paths(
    render: Callable[[str], Any],
) -> None:
    mounts = render("__orthanc_phi_worker_mounts + __orthanc_phi_folder_mounts | map('from_json')")
    assert [(mount["source"], mount["target"], mount["read_only"]) for mount in mounts[2:]] == [
        ("/data/share one",) * 2 + (False,),
        ("/data/knees",) * 2 + (False,),
    ]
    assert {mount["type"] for mount in mounts} == {"bind"}


def test_folders_are_looked_at_with_the_sites_directories_and_never_removed(
    render: Callable[[str], Any],
) -> None:
    (task,) = yaml.safe_load((ROLE / "tasks/instance.yml").read_text())
    given = task["vars"]["orthanc_instance_foreign_directories"]
    looked_at = render(given.removeprefix("{{").removesuffix("}}"))
    assert sorted(looked_at.values()) == ["/data/knees", "/data/share one"]
    assert all("orthanc_phi_destinations" in name for name in looked_at)
    removal = (ROLE.parent / "orthanc_instance/tasks/remove.yml").read_text()
    assert "foreign_directories" not in removal


def test_every_key_that_the_role_offers_is_one_that_the_service_knows() -> None:
    known = set()
    for kind in OPTIONS["kind"]["choices"]:
        problems = check_destinations([dict.fromkeys(OPTIONS, "x") | {"kind": kind}])
        refused = {
            problem.split(".")[1].split(":")[0]
            for problem in problems
            if "not a setting" in problem
        }
        known |= set(OPTIONS) - refused
    assert known == set(OPTIONS)


def test_secrets_are_hidden() -> None:
    hidden = {name for name, option in OPTIONS.items() if option.get("no_log")}
    assert hidden == {"password", "token", "key"}


def test_the_example_of_the_guide_can_be_used() -> None:
    guide = (ROLE.parents[1] / "docs/destinations.md").read_text()
    examples = [part.split("```")[0] for part in guide.split("```yaml")[1:]]
    checked = 0
    for example in examples:
        given = yaml.safe_load(example)
        for one in given.get("orthanc_phi_destinations", []):
            plain = {key: value for key, value in one.items() if "{{" not in str(value)}
            if "key" in one:
                del plain["tls"]
            secrets = {key: "Secret" for key in ("password", "token") if key in one}
            assert check_destinations([plain | secrets]) == []
            checked += 1
    assert checked == 5
