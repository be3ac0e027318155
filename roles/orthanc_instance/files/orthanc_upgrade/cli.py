# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, as playbooks/upgrade.yml calls it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from orthanc_upgrade.config import read_config
from orthanc_upgrade.errors import UpgradeError
from orthanc_upgrade.steps import back, begin, end, moved, stop

CONFIG = Path(__file__).resolve().parents[1] / "config.json"
STEPS = {"begin": begin, "stop": stop, "moved": moved, "back": back, "end": end}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step; return 0, or 1 with the reason on standard error."""
    os.umask(0o077)
    parser = argparse.ArgumentParser(prog="orthanc-upgrade", description=__doc__)
    parser.add_argument("--config", type=Path, default=CONFIG, help="the role's settings")
    parser.add_argument("step", choices=sorted(STEPS))
    told = parser.parse_args(arguments)
    try:
        for line in STEPS[told.step](read_config(told.config)):
            print(line, flush=True)
    except UpgradeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
