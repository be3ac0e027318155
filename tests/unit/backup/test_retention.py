# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orthanc_backup.retention import PERIODS, expired, kept

START = datetime(2026, 1, 31, tzinfo=UTC)
RULE = {"hourly": 24, "daily": 14, "weekly": 8, "monthly": 12}

moments = st.sets(
    st.integers(0, 3 * 365 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes)),
    max_size=60,
)
rules = st.fixed_dictionaries({period: st.integers(0, 6) for period in PERIODS})


def every(hours: int, days: int) -> list[datetime]:
    return [START + timedelta(hours=hour) for hour in range(0, days * 24, hours)]


def test_a_year_of_backups_keeps_hours_days_weeks_and_months() -> None:
    left: set[datetime] = set()
    for moment in every(6, 365):
        left = kept(left | {moment}, RULE)

    newest = max(left)
    assert {newest - timedelta(hours=hour) for hour in range(0, 24 * 6, 6)} <= left
    assert len({moment.date() for moment in left if newest - moment < timedelta(days=14)}) == 14
    assert len({moment.isocalendar()[:2] for moment in left}) >= 8
    assert len({(moment.year, moment.month) for moment in left}) == 12
    assert len(left) <= sum(RULE.values())


def test_the_last_backup_of_a_day_stands_for_the_day() -> None:
    left = kept(every(1, 3), {"daily": 2})

    assert sorted(moment.hour for moment in left) == [23, 23]


def test_a_gap_of_months_drops_nothing_before_it() -> None:
    before, after = every(24, 5), START + timedelta(days=200)

    assert kept([*before, after], {"daily": 6}) == {*before, after}


@given(moments, rules)
def test_the_newest_backup_always_stays(found: set[datetime], rule: dict[str, int]) -> None:
    assert not found or max(found) in kept(found, rule)


@given(moments, rules)
def test_what_stays_was_there_and_stays_the_next_time(
    found: set[datetime], rule: dict[str, int]
) -> None:
    left = kept(found, rule)

    assert left <= found
    assert kept(left, rule) == left


@given(moments, rules)
def test_no_more_stay_than_the_rule_says(found: set[datetime], rule: dict[str, int]) -> None:
    assert len(kept(found, rule)) <= sum(rule.values()) + 1


@given(moments, rules, st.sampled_from(sorted(PERIODS)))
def test_a_larger_rule_keeps_what_a_smaller_one_keeps(
    found: set[datetime], rule: dict[str, int], period: str
) -> None:
    assert kept(found, rule) <= kept(found, {**rule, period: rule[period] + 1})


@given(moments, moments, rules)
def test_a_proven_backup_never_goes_for_one_that_is_not(
    proven: set[datetime], unproven: set[datetime], rule: dict[str, int]
) -> None:
    unproven -= proven
    gone = expired(proven, unproven, rule)

    assert gone & proven == expired(proven, set(), rule)
    assert len(unproven - gone) <= 1
    assert all(one > max(proven, default=START) or not proven for one in unproven - gone)


def test_an_unproven_backup_that_is_the_newest_stays() -> None:
    first, second, third = every(24, 3)

    assert expired({first}, {second, third}, RULE) == {second}
    assert expired({third}, {first, second}, RULE) == {first, second}
