# SPDX-License-Identifier: GPL-3.0-or-later
"""De-identify DICOM by PS3.15 Annex E, with pseudonyms that stay the same for a subject."""

__version__ = "0.1.0"
