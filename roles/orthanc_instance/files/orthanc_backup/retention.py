# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups are kept, as a pure function of their times."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

# What tells two moments (UTC) of one period from those of another.
PERIODS = {
    "hourly": "%Y-%m-%d %H",
    "daily": "%Y-%m-%d",
    "weekly": "%G-W%V",
    "monthly": "%Y-%m",
}


def kept(moments: Collection[datetime], keep: Mapping[str, int]) -> set[datetime]:
    """Return the moments whose backups are kept.

    For each period, the newest backup in each of the last ``keep[period]`` hours, days, weeks or
    months that have one. The newest of all is kept whatever the rule says.
    """
    newest_first = sorted(moments, reverse=True)
    chosen = set(newest_first[:1])
    for period, form in PERIODS.items():
        newest: dict[str, datetime] = {}
        for moment in newest_first:
            newest.setdefault(moment.strftime(form), moment)
        chosen.update(list(newest.values())[: max(0, keep.get(period, 0))])
    return chosen


def expired(
    proven: Collection[datetime], unproven: Collection[datetime], keep: Mapping[str, int]
) -> set[datetime]:
    """Return the moments whose backups may go.

    Only proven backups count. Of the others the newest stays, as long as no proven one is newer:
    it may be the only one with the last hour in it.
    """
    last_proven = max(proven, default=None)
    hope = max(unproven, default=None)
    if hope is not None and last_proven is not None and hope < last_proven:
        hope = None
    return (set(proven) - kept(proven, keep)) | (set(unproven) - {hope})
