# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A finding: what is wrong, how bad it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterable

Finding = dict[str, str]
ERROR, WARNING = "error", "warning"


def finding(check: str, cause: str, remedy: str, severity: str = ERROR) -> Finding:
    """Return one finding in the form that the modules document."""
    return {"check": check, "severity": severity, "cause": cause, "remedy": remedy}


def told(findings: Iterable[Finding]) -> str:
    """Return findings as sentences."""
    return " ".join(f"{item['cause']} {item['remedy']}" for item in findings)
