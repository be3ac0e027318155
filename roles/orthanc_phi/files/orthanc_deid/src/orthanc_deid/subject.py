# SPDX-License-Identifier: GPL-3.0-or-later
"""Who a patient is in the output."""

from dataclasses import dataclass
from typing import Final

NOT_LISTED: Final = "not-listed"
"""The code of the quarantine of a study whose patient has yet to be given a number."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The new identity of one patient, the same in all of the patient's instances.

    Attributes:
        number: the subject number, from 1.
        patient_id: the new Patient ID (0010,0020), at most 64 characters of ASCII.
        patient_name: the new Patient's Name (0010,0010), ASCII.
        date_offset: whole days that are added to every date; never 0.
        modifier: what follows the number in this study's pseudonym.
    """

    number: int
    patient_id: str
    patient_name: str
    date_offset: int
    modifier: str = ""

    def __post_init__(self) -> None:
        if self.date_offset == 0:
            raise ValueError("date_offset is 0: the dates would stay what they were")
        for name, value, limit in (
            ("patient_id", self.patient_id, 64),
            ("patient_name", self.patient_name, 194),
        ):
            if not value or len(value) > limit or not value.isascii() or not value.isprintable():
                raise ValueError(f"{name} must be 1 to {limit} printable ASCII characters")
            if "\\" in value:
                raise ValueError(f"{name} must not hold a backslash, which separates DICOM values")
