# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the command line: ``python3 -m orthanc_upgrade``."""

import sys

from orthanc_upgrade.cli import main

sys.exit(main())
