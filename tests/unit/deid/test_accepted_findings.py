# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person has accepted in an instance goes out; every other check stays as it is."""

from __future__ import annotations

import pytest
from pydicom.uid import UltrasoundImageStorage

from orthanc_deid.engine import Engine, Output
from orthanc_deid.errors import Quarantine
from orthanc_deid.identity import read_identity
from orthanc_deid.profile import load_profile

from .instances import KEYS, SUBJECT, basic_engine, instance, read

LEAK = "leak 0008,0070"


def attempt(data: bytes, accepted: set[str], engine: Engine | None = None) -> Output:
    identifiers = read_identity(data).identifiers
    used = engine or basic_engine()
    return used.deidentify(data, SUBJECT, identifiers, accepted=frozenset(accepted))


def findings(data: bytes, accepted: set[str], engine: Engine | None = None) -> frozenset[str]:
    with pytest.raises(Quarantine) as held:
        attempt(data, accepted, engine)
    return held.value.findings


def test_a_leak_that_was_accepted_goes_out_and_no_other() -> None:
    one = instance(PatientName="Quill^Otto", Manufacturer="Quill Imaging")
    assert findings(one, set()) == {LEAK}
    assert read(attempt(one, {LEAK}).data).Manufacturer == "Quill Imaging"
    two = instance(
        PatientName="Quill^Otto", Manufacturer="Quill Imaging", ManufacturerModelName="Otto 1"
    )
    assert findings(two, {LEAK}) == {LEAK, "leak 0008,1090"}


def test_a_kind_of_image_that_was_accepted_still_has_its_leaks_looked_for() -> None:
    engine = Engine(load_profile("research", {"second_look": []}), KEYS)
    data = instance(
        SOPClassUID=UltrasoundImageStorage,
        Modality="US",
        PatientName="Quill^Otto",
        Rows=4,
        Columns=4,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        PixelData=bytes(16),
    )
    (finding,) = findings(data, set(), engine)
    assert read(attempt(data, {finding}, engine).data).PixelData == bytes(16)
    assert findings(data, {LEAK}, engine) == {finding}


def test_what_cannot_be_read_has_nothing_to_accept() -> None:
    assert findings(instance()[:-3], set()) == frozenset()
