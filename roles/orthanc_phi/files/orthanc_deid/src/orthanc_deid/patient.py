# SPDX-License-Identifier: GPL-3.0-or-later
"""Who a study says that its patient is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from orthanc_deid.errors import Quarantine
from orthanc_deid.subject import NOT_LISTED

ROUND_TRIP = "ORTHANC-ROUND-TRIP", "imaging.orthanc"
"""Patient ID and issuer of the studies by which a site tests itself."""


class Named(Protocol):
    """What says of itself who its patient is, such as `identity.Identity`."""

    @property
    def patient_id(self) -> str:
        """Patient ID (0010,0020)."""

    @property
    def issuer(self) -> str:
        """Issuer of Patient ID (0010,0021)."""

    @property
    def accession_number(self) -> str:
        """Accession Number (0008,0050)."""


@dataclass(frozen=True, slots=True)
class Patient:
    """What leads to a subject: Patient ID, its issuer, and the accession number of the study."""

    patient_id: str = field(repr=False)
    issuer: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)

    @classmethod
    def of(cls, identity: Named) -> Patient:
        """Return the patient that an instance names."""
        return cls(identity.patient_id, identity.issuer, identity.accession_number)

    def of_site(self, own_issuer: str) -> Patient:
        """Return the patient as the crosswalk knows it: without the site's own issuer."""
        issuer = self.issuer.strip()
        return Patient(
            self.patient_id.strip(),
            "" if issuer == own_issuer else issuer,
            self.accession.strip(),
        )

    @property
    def is_of_round_trip(self) -> bool:
        """Whether it is nobody, but the subject of the site's own tests (`orthanc_roundtrip`)."""
        return (self.patient_id, self.issuer) == ROUND_TRIP

    def issuers(self, own_issuer: str) -> frozenset[str]:
        """Return the issuers under which the crosswalk may have the patient.

        Before the site named its own issuer, its patients may have been kept with it.
        """
        return frozenset({self.issuer} if self.issuer else {"", own_issuer})


class NotListed(Quarantine):
    """The patient has no number, and only a list may give one.

    Attributes:
        patient: whose study waits. Never to be shown.
    """

    def __init__(self, patient: Patient) -> None:
        super().__init__(
            NOT_LISTED,
            "the patient is in no list that gives subject numbers; load one with "
            "`orthanc-deid subjects load`, and the study goes on by itself",
        )
        self.patient = patient
