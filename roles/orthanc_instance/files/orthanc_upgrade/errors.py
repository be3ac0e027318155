# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors of an upgrade."""


class UpgradeError(Exception):
    """An upgrade cannot go on or back; the message says why and what to do."""
