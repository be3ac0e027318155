# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugin of the Anon Orthanc: it holds de-identified instances only, for whom they are meant."""

import orthanc

import access
import deidentified_only

access.register(orthanc, "anon")
deidentified_only.register(orthanc)
