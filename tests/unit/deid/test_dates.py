# SPDX-License-Identifier: GPL-3.0-or-later
"""Dates are moved by whole days, whatever shape they come in."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthanc_deid.dates import MalformedDateError, shift_value

from .instances import deidentify, instance, read

DAYS = st.integers(-365, 365).filter(bool)


@pytest.mark.parametrize(
    ("vr", "before", "after"),
    [
        ("DA", "20240301", "20240228"),
        ("DA", "18991231", "18991229"),
        ("DA", "2024.03.01", "2024.02.28"),
        ("DA", "20240301\\20240302", "20240228\\20240229"),
        ("DA", "20240301-20240305", "20240228-20240303"),
        ("DA", "-20240305", "-20240303"),
        ("DA", "20240301 ", "20240228"),
        ("DA", "202403", "202402"),
        ("DA", "2024", "2023"),
        ("DT", "20240301235959.123456+0100", "20240228235959.123456+0100"),
        ("DT", "202403010800-0500", "202402280800-0500"),
        ("DT", "20240301-20240305", "20240228-20240303"),
        ("DT", "2024", "2023"),
        ("TM", "235960.5", "235960.5"),
        ("TM", "08:15:00", "08:15:00"),
        ("SH", "-0500", "-0500"),
    ],
)
def test_a_value_moves_by_two_days_back(vr: str, before: str, after: str) -> None:
    assert shift_value(vr, before.encode(), -2).decode() == after


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("DA", "20240230"),
        ("DA", "00000000"),
        ("DA", "Monday"),
        ("DA", "00010101"),
        ("DA", "2024030"),
        ("DA", "-"),
        ("DA", "\uff12\uff10\uff12\uff14\uff10\uff13\uff10\uff11"),
        ("DT", "20240301250000"),
        ("TM", "Doe^John"),
        ("TM", "2561"),
        ("SH", "Doe"),
    ],
)
def test_what_is_no_date_is_told_apart(vr: str, value: str) -> None:
    with pytest.raises(MalformedDateError):
        shift_value(vr, value.encode(), -2)


@given(st.dates(), st.dates(), DAYS)
def test_intervals_stay(first: date, second: date, days: int) -> None:
    try:
        moved = [
            shift_value("DA", f"{day:%Y%m%d}".rjust(8, "0").encode(), days).decode()
            for day in (first, second)
        ]
    except MalformedDateError:
        return  # left the years 1 to 9999
    new = [date.fromisoformat(day) for day in moved]
    assert new[1] - new[0] == second - first
    assert new[0] != first


def test_a_malformed_date_is_taken_out_and_reported_without_its_value() -> None:
    output = deidentify(instance(StudyDate="19990230", AcquisitionDate="Doe"))
    after = read(output.data)
    assert after.StudyDate == ""
    assert "AcquisitionDate" not in after or after.AcquisitionDate == ""
    assert {path for path, _ in output.record.problems} == {"0008,0020", "0008,0022"}
    assert "19990230" not in str(output.record.to_dict())
