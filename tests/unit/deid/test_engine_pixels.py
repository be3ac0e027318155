# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine does with pixels: the same bytes, blanked, or nothing at all."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, UltrasoundImageStorage

from orthanc_deid.engine import Engine, Output
from orthanc_deid.errors import Quarantine
from orthanc_deid.ocr import TextReader
from orthanc_deid.profile import load_profile

from .instances import IDENTITY, KEYS, SUBJECT, read
from .rendered_images import COLUMNS, HEADER, KINDS, LOSSLESS, ROWS, frames_of, outside_of

DEVICE = {"Modality": "US", "Manufacturer": "ACME", "ManufacturerModelName": "X1"}
RULE = {"name": "Room 3", "where": DEVICE, "blank": [list(HEADER)]}


def engine(**site: Any) -> Engine:
    return Engine(load_profile("research", site), KEYS)


def made(kind: str, **attributes: Any) -> bytes:
    """One of the rendered images, of a device that this site has."""
    dataset = dcmread(BytesIO(KINDS[kind]()))
    identity = {**IDENTITY, "SOPClassUID": UltrasoundImageStorage, "PatientName": "Muster^Erika"}
    for keyword, value in (identity | DEVICE | attributes).items():
        setattr(dataset, keyword, value)
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def deidentify(data: bytes, by: Engine) -> Output:
    return by.deidentify(data, SUBJECT)


def codes(dataset: Dataset) -> set[str]:
    return {item.CodeValue for item in dataset.DeidentificationMethodCodeSequence}


@pytest.mark.parametrize("kind", KINDS)
def test_a_burned_in_name_is_gone_and_the_output_says_so(kind: str) -> None:
    data = made(kind)
    output = deidentify(data, engine(pixel_rules=[RULE]))
    assert not list(TextReader().find(output.data))
    after = read(output.data)
    assert after.BurnedInAnnotation == "NO"
    assert "113101" in codes(after)
    assert after.PatientID == SUBJECT.patient_id
    assert after.file_meta.MediaStorageSOPInstanceUID == output.sop_instance_uid
    assert output.record.to_dict()["pixels"] == {
        "blanked": [{"rule": "Room 3", "frames": 1}],
        "looked_at_again": 1,
    }
    if kind in LOSSLESS:
        mask = outside_of([HEADER], (ROWS, COLUMNS))
        for before, now in zip(frames_of(data), frames_of(output.data), strict=True):
            assert np.array_equal(before[mask], now[mask])


def test_an_image_that_needs_no_blanking_keeps_its_pixel_bytes_and_claims_nothing() -> None:
    for kind in KINDS:
        data = made(kind, SOPClassUID=CTImageStorage, Modality="CT", SamplesPerPixel=1)
        before, output = read(data), deidentify(data, engine())
        after = read(output.data)
        assert after.PixelData == before.PixelData
        assert "BurnedInAnnotation" not in after
        assert "113101" not in codes(after)
        assert output.record.to_dict()["pixels"]["blanked"] == []


def test_an_image_of_a_risky_kind_without_a_rule_does_not_come_out() -> None:
    with pytest.raises(Quarantine, match="add a pixel rule") as caught:
        deidentify(made("RLE"), engine())
    assert caught.value.code == "ultrasound"


def test_an_object_without_pixels_is_not_held_back_for_its_modality() -> None:
    dataset = dcmread(BytesIO(made("RLE")))
    del dataset.PixelData
    file = BytesIO()
    dataset.save_as(file)
    assert read(deidentify(file.getvalue(), engine()).data).Modality == "US"


def test_ultrasound_keeps_its_regions_and_loses_the_rest() -> None:
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, HEADER.bottom
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = COLUMNS - 1, ROWS - 1
    data = made("explicit big endian, 16 bits", SequenceOfUltrasoundRegions=Sequence([region]))
    output = deidentify(data, engine())
    mask = outside_of([HEADER], (ROWS, COLUMNS))
    (before,), (after,) = frames_of(data), frames_of(output.data)
    assert np.array_equal(before[mask], after[mask])
    assert not after[~mask].any()
    assert len(read(output.data).SequenceOfUltrasoundRegions) == 1


def test_text_that_is_left_after_blanking_holds_the_image_back() -> None:
    too_small = {**RULE, "columns": COLUMNS, "blank": [[0, 0, 60, 40]]}
    with pytest.raises(Quarantine) as caught:
        deidentify(made("RGB"), engine(pixel_rules=[too_small]))
    assert caught.value.code == "text-in-pixels"


def test_a_second_look_is_taken_where_the_site_asks() -> None:
    data = made("RLE", SOPClassUID=CTImageStorage, Modality="CT")
    assert deidentify(data, engine()).data
    for asked in ("CT", "all"):
        with pytest.raises(Quarantine, match="text was found"):
            deidentify(data, engine(second_look=[asked]))


def test_no_second_look_is_taken_where_the_site_forbids_it() -> None:
    output = deidentify(made("RLE"), engine(pixel_rules=[RULE], second_look=[]))
    assert output.record.looked_at == 0


def test_a_profile_that_does_not_clean_pixels_holds_back_what_would_need_it() -> None:
    profile = load_profile("research", {"pixel_rules": [RULE]})
    plain = replace(profile, options=profile.options - {"clean_pixel_data"})
    with pytest.raises(Quarantine, match="add clean_pixel_data") as caught:
        deidentify(made("RLE"), Engine(plain, KEYS))
    assert caught.value.code == "not-cleaned"


def test_the_records_of_a_study_add_up() -> None:
    by = engine(pixel_rules=[RULE])
    record = deidentify(made("RLE"), by).record
    record.merge(deidentify(made("RGB"), by).record)
    record.merge(deidentify(made("RLE", Modality="CT", SOPClassUID=CTImageStorage), by).record)
    told = record.to_dict()
    assert told["pixels"] == {"blanked": [{"rule": "Room 3", "frames": 2}], "looked_at_again": 2}
    assert "113101" in told["codes"]


def test_other_pixel_rules_are_another_profile() -> None:
    plain = load_profile("research")
    assert plain.digest != load_profile("research", {"pixel_rules": [RULE]}).digest
    assert plain.digest != load_profile("research", {"second_look": ["US"]}).digest
