# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugin of the Anon Orthanc: it holds de-identified instances only."""

import orthanc

import deidentified_only

deidentified_only.register(orthanc)
