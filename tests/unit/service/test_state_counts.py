# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting what there are millions of: seldom where it takes long, at once where it does not."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest
import sqlalchemy as sa

from orthanc_deid import metrics
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.metrics import EventCounts
from orthanc_deid.state_counts import Seldom

CONNECTION = cast(sa.Connection, None)


def test_what_takes_long_is_counted_so_seldom_that_it_takes_a_hundredth_of_the_time() -> None:
    time, counted = 0.0, 0

    def count(_: sa.Connection) -> int:
        nonlocal time, counted
        time, counted = time + 2, counted + 1
        return counted

    seldom = Seldom(count, lambda: time)
    assert seldom.value(CONNECTION) == 1
    time += 199
    assert seldom.value(CONNECTION) == 1
    time += 2
    assert seldom.value(CONNECTION) == 2


def test_what_is_quick_is_counted_each_time() -> None:
    values = iter(range(9))
    seldom = Seldom(lambda _: next(values), lambda: 0.0)
    assert [seldom.value(CONNECTION) for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("settled_after", [timedelta(0), timedelta(hours=1)])
def test_no_event_is_counted_twice_or_left_out(
    crosswalk: Crosswalk, monkeypatch: pytest.MonkeyPatch, settled_after: timedelta
) -> None:
    monkeypatch.setattr(metrics, "SETTLED_AFTER", settled_after)
    counts = EventCounts()
    for total in (1, 2, 3):
        crosswalk.studies.note("seen")
        with crosswalk.engine.connect() as connection:
            assert counts.now(connection)["seen"] == total
            assert counts.now(connection)["seen"] == total
