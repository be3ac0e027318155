# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the command line: ``python3 -m orthanc_certificates``."""

import sys

from orthanc_certificates.cli import main

sys.exit(main())
