# SPDX-License-Identifier: GPL-3.0-or-later
"""Name the Molecule scenarios of the roles that changed since a commit, one in each line."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What all kinds share is asked by the smallest of them.
SHARED = ("molecule/shared/", "plugins/", "roles/container_host/", "roles/orthanc_instance/")
SMALLEST = "orthanc_anon"
# The scenario of the whole site is no role's, and takes long: it is asked for what only it deploys.
OTHER_PATHS = {"site": ("inventories/example/", "roles/orthanc_phi/tasks/worker_host")}


def scenarios(changed: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return which of the known scenarios look at what changed.

    Args:
        changed: paths in the repository.
        known: names of scenarios, most of which are also a role's name.
    """
    paths = list(changed)
    found = {
        name
        for name in known
        if any(
            path.startswith((f"roles/{name}/", f"molecule/{name}/", *OTHER_PATHS.get(name, ())))
            for path in paths
        )
    }
    if any(path.startswith(SHARED) for path in paths):
        found.add(SMALLEST)
    return sorted(found)


def main() -> int:
    """Print the scenarios; returns 0, also where there are none."""
    parser = argparse.ArgumentParser(prog="changed_scenarios.py", description=__doc__)
    parser.add_argument("since", metavar="COMMIT", help="the commit to compare with")
    since = parser.parse_args().since
    git = ["git", "-C", str(ROOT), "diff", "--name-only", since, "HEAD"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"molecule: there is no commit {since} here; run `make molecule`", file=sys.stderr)
        return 0
    known = [path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")]
    found = scenarios(done.stdout.splitlines(), known)
    print(f"molecule: since {since} changed: {', '.join(found) or 'no role'}", file=sys.stderr)
    print("\n".join(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
