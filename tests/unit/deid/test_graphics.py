# SPDX-License-Identifier: GPL-3.0-or-later
"""Annotations, overlays and labels lose people and keep what they say of the image."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from orthanc_deid.engine import Engine
from orthanc_deid.profile import load_profile

from .documents import code, presentation_state
from .instances import KEYS, data_set, deidentify, encode, instance, read, real_instances


@cache
def engine(*options: str) -> Engine:
    if not options:
        return Engine(load_profile("research"), KEYS)
    return Engine(load_profile({"name": "graphics", "options": list(options)}), KEYS)


def texts(made: Dataset) -> list[str]:
    (annotation,) = made.GraphicAnnotationSequence
    return [text.UnformattedTextValue for text in annotation.TextObjectSequence]


def test_what_is_written_on_an_image_is_cleaned() -> None:
    made = presentation_state("nodule 5 mm, Quillfeather", "Dr. Brackenridge")
    made.GraphicLayerSequence[0].GraphicLayerDescription = "drawn by Brackenridge"
    made.ContentDescription = "for Brackenridge"
    data = encode(made)
    after = read(deidentify(data, engine("clean_graphics")).data)
    assert texts(after) == ["nodule 5 mm", "REMOVED"]
    assert "rackenridge" not in str(after)
    assert after.ContentDescription
    assert "113103" in [item.CodeValue for item in after.DeidentificationMethodCodeSequence]


def test_without_the_option_it_becomes_a_dummy() -> None:
    after = read(deidentify(encode(presentation_state("nodule 5 mm")), engine("retain_uids")).data)
    assert texts(after) == ["REMOVED"]
    assert "113103" not in [item.CodeValue for item in after.DeidentificationMethodCodeSequence]


def test_overlays_and_curves_go_whole_since_burned_in_text_cannot_be_cleaned() -> None:
    made = data_set()
    for tag, vr, value in (
        (0x60003000, "OW", b"\0" * 32),
        (0x60004000, "LT", "nodule"),
        (0x60000010, "US", 16),
        (0x60001500, "LO", "nodule"),
        (0x50003000, "OW", b"\0" * 32),
        (0x50000022, "LO", "nodule"),
        (0x5000200C, "OW", b"\0" * 32),
    ):
        made.add_new(tag, vr, value)
    after = read(deidentify(encode(made), engine("clean_graphics")).data)
    assert [element.tag for element in after if element.tag.group >> 8 in (0x50, 0x60)] == []


def test_icons_original_values_signatures_and_encrypted_identities_go() -> None:
    inner = Dataset()
    inner.PatientName = "Quillfeather^Ottoline"
    sealed = Dataset()
    sealed.EncryptedContentTransferSyntaxUID, sealed.EncryptedContent = "1.2.840.10008.1.2", b"\1\2"
    mac = Dataset()
    mac.MACIDNumber, mac.MACAlgorithm = 1, "SHA256"
    before = {
        "IconImageSequence": [inner],
        "OriginalAttributesSequence": [inner],
        "DigitalSignaturesSequence": [inner],
        "MACParametersSequence": [mac],
        "EncryptedAttributesSequence": [sealed],
    }
    after = read(deidentify(instance(**before), engine()).data)
    assert not [keyword for keyword in before if keyword in after]


STRUCTURES = (
    *("Heart", "PTV1", "GTVp", "CTV_5040", "Lung_L", "Brainstem_PRV03", "FemurHeadNeck_L"),
    *("OpticNrv_L", "Bowel_Bag", "External", "Ring 2cm", "Couch Surface"),
)


def test_structures_keep_their_names_and_lose_those_of_people() -> None:
    made = data_set(StructureSetLabel="Plan Smith", StructureSetROISequence=[])
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    for name in (*STRUCTURES, "PTV SMITH", "PTV Quillfeather"):
        roi = Dataset()
        roi.ROINumber, roi.ROIName = 1, name
        made.StructureSetROISequence.append(roi)
    after = read(deidentify(encode(made), engine()).data)
    names = [roi.ROIName for roi in after.StructureSetROISequence]
    assert names == [*STRUCTURES, "PTV", "PTV"]
    assert after.StructureSetLabel == "Plan"


def test_labels_that_the_table_does_not_list_are_cleaned_and_stay() -> None:
    segment = Dataset()
    segment.SegmentNumber, segment.SegmentLabel = 1, "Liver, drawn by Dr. Vossberg"
    segment.SegmentDescription = "Vossberg"
    segment.SegmentedPropertyTypeCodeSequence = [code("10200004", "SCT", "Liver")]
    beam = Dataset()
    beam.BeamName = "Arc1 CW Vossberg"
    made = data_set(SegmentSequence=[segment], BeamSequence=[beam])
    after = read(deidentify(encode(made), engine()).data)
    assert "Vossberg" not in str(after)
    assert after.SegmentSequence[0].SegmentLabel.startswith("Liver")
    assert after.SegmentSequence[0].SegmentDescription == "REMOVED"
    assert after.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Liver"
    assert after.BeamSequence[0].BeamName == "Arc1 CW"


def test_waveform_annotations_are_cleaned_item_by_item() -> None:
    text, coded = Dataset(), Dataset()
    text.UnformattedTextValue = "atrial fibrillation, Quillfeather"
    coded.ConceptNameCodeSequence = [code("164889003", "SCT", "Atrial fibrillation")]
    data = instance(WaveformAnnotationSequence=[text, coded])
    after = read(deidentify(data, engine()).data).WaveformAnnotationSequence
    assert after[0].UnformattedTextValue == "atrial fibrillation"
    assert after[1].ConceptNameCodeSequence[0].CodeMeaning == "Atrial fibrillation"


def errors(path: Path, data: bytes) -> Counter[str]:
    """What the validator says, without values."""
    path.write_bytes(data)
    command = [str(shutil.which("dciodvfy")), "-new", path]
    lines = subprocess.run(command, capture_output=True, check=False).stderr.decode("latin-1")
    found = [line for line in lines.splitlines() if line.startswith("Error")]
    return Counter(re.sub(r"[=<].*?>", "", line) for line in found)


@pytest.mark.parametrize("profile", ["basic", "research", "full_dates"])
@pytest.mark.parametrize(
    "name",
    [
        "presentation",
        "reportsi.dcm",
        "test-SR.dcm",
        "rtplan.dcm",
        "rtstruct.dcm",
        "rtdose_1frame.dcm",
        "liver_1frame.dcm",
        "waveform_ecg.dcm",
    ],
)
def test_the_validator_finds_no_new_error(name: str, profile: str, tmp_path: Path) -> None:
    if name == "presentation":
        made = presentation_state("nodule", "Vossberg")
        made.ContentDescription = "Brackenridge" if profile != "basic" else ""
        data = encode(made)
    else:
        data = next(data for path, data in real_instances().items() if path.endswith(f"/{name}"))
    after = deidentify(data, Engine(load_profile(profile), KEYS)).data
    assert errors(tmp_path / "out", after) <= errors(tmp_path / "in", data)
