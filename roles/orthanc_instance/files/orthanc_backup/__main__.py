# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the command line: ``python3 -m orthanc_backup``."""

import sys

from orthanc_backup.cli import main

sys.exit(main())
