# SPDX-License-Identifier: GPL-3.0-or-later
"""Structured reports, key object selections and presentation states, made in the open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MRImageStorage,
)

from .instances import data_set

Code = tuple[str, str, str]
FINDING: Code = ("121071", "DCM", "Finding")
REPORT: Code = ("126000", "DCM", "Imaging Measurement Report")
LENGTH: Code = ("410668003", "SCT", "Length")


def code(value: str, scheme: str, meaning: str) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, scheme, meaning
    return made


def reference(uid: str = "1.2.826.0.1.77") -> Dataset:
    made = Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = MRImageStorage, uid
    return made


def measured(number: str, unit: str) -> Dataset:
    made = Dataset()
    made.NumericValue = number
    made.MeasurementUnitsCodeSequence = [code(unit, "UCUM", unit)]
    return made


_VALUES: Mapping[str, str] = {
    "TEXT": "TextValue",
    "PNAME": "PersonName",
    "UIDREF": "UID",
    "DATE": "Date",
    "TIME": "Time",
    "DATETIME": "DateTime",
    "CODE": "ConceptCodeSequence",
    "NUM": "MeasuredValueSequence",
    "IMAGE": "ReferencedSOPSequence",
    "COMPOSITE": "ReferencedSOPSequence",
    "WAVEFORM": "ReferencedSOPSequence",
}


def item(value_type: str, name: Code | None, value: Any = None, *children: Dataset) -> Dataset:
    """A content item; a value of a sequence is given as its only item."""
    made = Dataset()
    made.RelationshipType = "CONTAINS"
    made.ValueType = value_type
    if name is not None:
        made.ConceptNameCodeSequence = [code(*name)]
    if value_type == "CONTAINER":
        made.ContinuityOfContent = "SEPARATE"
    else:
        is_sequence = isinstance(value, Dataset)
        setattr(made, _VALUES[value_type], [value] if is_sequence else value)
    if children:
        made.ContentSequence = list(children)
    return made


def report(*items: Dataset, name: Code = REPORT, **attributes: Any) -> Dataset:
    """A Comprehensive SR with these items in its root."""
    made = data_set(
        SOPClassUID=ComprehensiveSRStorage,
        Modality="SR",
        InstanceNumber="1",
        SeriesNumber="1",
        StudyDate="20240102",
        StudyTime="101112",
        ContentDate="20240102",
        ContentTime="101112",
        Manufacturer="Aurora",
        PatientBirthDate="19600417",
        PatientSex="F",
        ReferringPhysicianName="Brackenridge^Alma",
        AccessionNumber="ACC-77120",
        StudyID="1",
        CompletionFlag="COMPLETE",
        VerificationFlag="UNVERIFIED",
        ReferencedPerformedProcedureStepSequence=[],
        PerformedProcedureCodeSequence=[],
        ValueType="CONTAINER",
        ConceptNameCodeSequence=[code(*name)],
        ContinuityOfContent="SEPARATE",
        ContentSequence=list(items),
        **attributes,
    )
    made.SpecificCharacterSet = "ISO_IR 192"
    return made


def key_objects(*items: Dataset) -> Dataset:
    made = report(*items, name=("113000", "DCM", "Of Interest"))
    made.SOPClassUID, made.Modality = KeyObjectSelectionDocumentStorage, "KO"
    for keyword in ("CompletionFlag", "VerificationFlag", "PerformedProcedureCodeSequence"):
        delattr(made, keyword)
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = "1.2.826.0.1.4", [reference()]
    study = Dataset()
    study.StudyInstanceUID, study.ReferencedSeriesSequence = made.StudyInstanceUID, [series]
    made.CurrentRequestedProcedureEvidenceSequence = [study]
    return made


def presentation_state(*texts: str) -> Dataset:
    """A grayscale presentation state that writes texts on an image."""
    annotation = Dataset()
    annotation.GraphicLayer = "LAYER1"
    annotation.TextObjectSequence = []
    for text in texts:
        written = Dataset()
        written.UnformattedTextValue = text
        written.AnchorPointAnnotationUnits = "PIXEL"
        written.AnchorPoint, written.AnchorPointVisibility = [10.0, 10.0], "N"
        annotation.TextObjectSequence.append(written)
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = "LAYER1", "1"
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = "1.2.826.0.1.4", [reference()]
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [64, 64]
    area.PresentationSizeMode, area.PresentationPixelAspectRatio = "SCALE TO FIT", [1, 1]
    return data_set(
        SOPClassUID=GrayscaleSoftcopyPresentationStateStorage,
        Modality="PR",
        SeriesNumber="1",
        InstanceNumber="1",
        StudyDate="20240102",
        StudyTime="101112",
        StudyID="1",
        AccessionNumber="ACC-77120",
        ReferringPhysicianName="Brackenridge^Alma",
        PatientBirthDate="19600417",
        PatientSex="F",
        Manufacturer="Aurora",
        ContentLabel="MARKS",
        ContentDescription="marks of the first reading",
        ContentCreatorName="Brackenridge^Alma",
        PresentationCreationDate="20240102",
        PresentationCreationTime="101112",
        PresentationLUTShape="IDENTITY",
        ReferencedSeriesSequence=[series],
        DisplayedAreaSelectionSequence=[area],
        GraphicLayerSequence=[layer],
        GraphicAnnotationSequence=[annotation],
    )
