# SPDX-License-Identifier: GPL-3.0-or-later
"""Name the Molecule scenarios that have not passed with the files as they are now.

What a scenario looks at has a digest. `--passed` records it in molecule/passed.json when it
has passed; it is due as long as the recorded one is another, however many commits ago that was.
`--one` names one of the short ones that are due, another one with each commit, so that `make test`
takes about the same time whatever has changed and comes to all of them. The long ones have a
target of their own, such as `make molecule-site`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PASSED = ROOT / "molecule/passed.json"
SHARED = ("molecule/shared", "plugins")
# A provider and a browser besides, and six hosts that deploy a whole site.
LONG = frozenset(("apache_proxy", "site"))
KINDS = ("orthanc_anon", "orthanc_disk", "orthanc_phi")
OF_KINDS = ("roles/container_host", "roles/orthanc_instance")


def looked_at(scenario: str) -> tuple[str, ...]:
    """Return the directories that a scenario looks at."""
    if scenario == "site":
        return (*SHARED, "molecule/site", "roles", "playbooks", "inventories/example")
    roles = OF_KINDS if scenario in KINDS else ()
    return (*SHARED, f"molecule/{scenario}", f"roles/{scenario}", *roles)


def digest(files: Iterable[Path], root: Path) -> str:
    """Return what changes with any name or content of the files."""
    found = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.relative_to(root)} {content}\n".encode())
    return found.hexdigest()


def due(now: Mapping[str, str], passed: Mapping[str, str]) -> list[str]:
    """Return the scenarios whose digest is not the one with which they passed."""
    return sorted(name for name in now if now[name] != passed.get(name))


def one_of(names: Iterable[str], commits: int) -> list[str]:
    """Return a short one of the names, the next one with each commit; none where there is none."""
    short = sorted(set(names) - LONG)
    return [short[commits % len(short)]] if short else []


def main() -> int:
    """Print the scenarios, or record that some have passed; returns 0."""
    parser = argparse.ArgumentParser(prog="due_scenarios.py", description=__doc__)
    parser.add_argument("--one", action="store_true", help="name one of them only")
    parser.add_argument("--passed", nargs="+", metavar="SCENARIO", help="these have passed now")
    arguments = parser.parse_args()
    known = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
    now = {name: digest(_files(looked_at(name)), ROOT) for name in known}
    passed = json.loads(PASSED.read_text()) if PASSED.exists() else {}
    if arguments.passed:
        passed |= {name: now[name] for name in arguments.passed}
        PASSED.write_text(json.dumps(passed, indent=2, sort_keys=True) + "\n")
        return 0
    names = due(now, passed)
    print(f"molecule: not passed as they are: {', '.join(names) or 'none'}", file=sys.stderr)
    print("\n".join(one_of(names, _commits()) if arguments.one else names))
    return 0


def _files(directories: Iterable[str]) -> list[Path]:
    """Return the files of the repository in some directories."""
    told = _git("ls-files", "-z", "--", *directories)
    return [path for name in told.split("\0") if name and (path := ROOT / name).is_file()]


def _commits() -> int:
    return int(_git("rev-list", "--count", "HEAD"))


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
