# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the command line: `python3 -m orthanc_deid`."""

import sys

from orthanc_deid.cli import main

sys.exit(main())
