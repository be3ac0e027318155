# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as people get it: built, installed into an empty place, and used from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))


def run(place: Path, command: str, *arguments: str) -> str:
    """Run one of Ansible's commands away from the checkout; returns what it prints."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(place),
        "ANSIBLE_LOCAL_TEMP": str(place / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
    }
    done = subprocess.run(
        [str(Path(sys.executable).with_name(command)), *arguments],
        cwd=place, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of collections that holds only this one."""
    place = tmp_path_factory.mktemp("collections")
    run(place, "ansible-galaxy", "collection", "build", "--output-path", str(place), str(ROOT))
    (archive,) = place.glob("*.tar.gz")
    # What it depends on comes with Ansible here, and from Galaxy elsewhere.
    run(place, "ansible-galaxy", "collection", "install", "--no-deps", "--offline",
        "--collections-path", str(place), str(archive))  # fmt: skip
    return place


def test_the_archive_holds_what_users_need_and_nothing_of_the_workshop(installed: Path) -> None:
    collection = installed / "ansible_collections/imaging/orthanc"
    top = {path.name for path in collection.iterdir()}

    assert {"README.md", "docs", "files", "inventories", "playbooks", "plugins", "roles"} <= top
    assert not top & {".ci", ".venv", ".cache", "bench", "molecule", "tests", "Makefile"}
    # The image is built from the whole package.
    assert (collection / "roles/orthanc_phi/files/orthanc_deid/pyproject.toml").is_file()
    assert not list(collection.rglob("*.pyc"))
    assert not list(collection.rglob("collections"))


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_every_playbook_can_be_named_by_the_collection(installed: Path, playbook: str) -> None:
    inventory = ROOT / "inventories/example"

    run(installed, "ansible-playbook", f"imaging.orthanc.{playbook}", "-i", str(inventory),
        "--syntax-check")  # fmt: skip


def test_every_module_is_documented(installed: Path) -> None:
    names = [f"imaging.orthanc.{name}" for name in MODULES]
    told: dict[str, Any] = json.loads(run(installed, "ansible-doc", "--json", *names))

    assert sorted(told) == names
    for name, module in told.items():
        assert module["examples"], name
        assert module["return"] is not None, name
        attributes = module["doc"]["attributes"]
        assert {"check_mode", "diff_mode"} <= set(attributes), name


def test_the_settings_are_judged_from_there(installed: Path) -> None:
    """The roles find the package that they ship, also far from a checkout."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "imaging.orthanc.site",
         "-i", str(ROOT / "inventories/demo"), "--check", "-e", "orthanc_phi_numbering=cohort",
         "-e", "orthanc_site_config_dir=/etc/orthanc-nowhere"],
        cwd=installed, capture_output=True, text=True, check=False,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(installed), "ANSIBLE_NOCOLOR": "1"},
    )  # fmt: skip
    assert done.returncode != 0
    assert "orthanc_phi_cohorts: is empty" in done.stdout
