# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask Ansible's own tools about the collection as people get it: built and installed.

They are antsibull-changelog, the sanity tests of ansible-test, and antsibull-docs. With --all, also
those sanity tests that fetch tools of their own from bootstrap.pypa.io and pypi.org.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
# Of most of them ruff, mypy, yamllint and tests/unit/collection ask the same.
FETCHING = (
    "ansible-doc", "changelog", "import", "pep8", "pslint", "pylint", "runtime-metadata",
    "shellcheck", "validate-modules", "yamllint",
)  # fmt: skip


def main() -> int:
    """Run all of them; returns 1 if one has found something."""
    parser = argparse.ArgumentParser(prog="tests/check_collection.py", description=__doc__)
    parser.add_argument("--all", action="store_true", help="also what needs the internet")
    everything = parser.parse_args().all
    with tempfile.TemporaryDirectory() as place:
        well = [run(ROOT, place, "antsibull-changelog", "lint")]
        collection = install(Path(place))
        well.append(run(collection, place, *sanity(everything=everything)))
        for specs in collection.glob("roles/*/meta/argument_specs.yml"):
            leave_out_expressions(specs)
        docs = ("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", ".")
        well.append(run(collection, place, *docs))
    return 0 if all(well) else 1


def install(place: Path) -> Path:
    """Build the collection and install it; returns where it is."""
    built = place / "built"
    galaxy = ("ansible-galaxy", "collection")
    run(ROOT, str(place), *galaxy, "build", "--output-path", str(built), quiet=True)
    (archive,) = built.glob("*.tar.gz")
    run(
        place, str(place), *galaxy, "install", "--no-deps", "--offline",
        "--collections-path", str(place), str(archive), quiet=True,
    )  # fmt: skip
    return place / "ansible_collections/imaging/orthanc"


def sanity(*, everything: bool) -> list[str]:
    """Return the command of the sanity tests."""
    command = ["ansible-test", "sanity", "--python", ".".join(platform.python_version_tuple()[:2])]
    for name in () if everything else FETCHING:
        command += ["--skip-test", name]
    return command


def leave_out_expressions(specs: Path) -> None:
    """Take out the defaults that Ansible works out, which antsibull-docs takes for texts."""

    def without(told: Any) -> Any:
        if isinstance(told, dict):
            return {
                key: without(value)
                for key, value in told.items()
                if not (key == "default" and "{{" in str(value))
            }
        return [without(one) for one in told] if isinstance(told, list) else told

    specs.write_text(yaml.safe_dump(without(yaml.safe_load(specs.read_text()))))


def run(directory: Path, collections: str, *command: str, quiet: bool = False) -> bool:
    """Run one of Ansible's commands, and print what it has found; returns whether it is content.

    Args:
        directory: where it runs.
        collections: the directory of collections that it knows.
        command: its name and arguments.
        quiet: whether it is only told that it fails.
    """
    programs = f"{Path(sys.executable).parent}:{ROOT}/.cache/documentation/bin"
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": collections,
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode or not quiet:
        print(f"{command[0]}: {'found something' if done.returncode else 'well'}")
    if done.returncode:
        print(done.stdout + done.stderr)
    return not done.returncode


if __name__ == "__main__":
    sys.exit(main())
