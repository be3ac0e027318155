# SPDX-License-Identifier: GPL-3.0-or-later
"""Series of invented patients, each as a scanner would send it: what the speed is measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RTStructureSetStorage,
    UltrasoundMultiFrameImageStorage,
)

_ROOT: Final = "1.2.826.0.1.3680043.10.977."


def _header(sop_class: UID, modality: str, number: int) -> Dataset:
    """Return what the instances of every modality say: patient, study, series, equipment."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 100"
    made.InstanceCreationDate, made.InstanceCreationTime = "20240315", f"1012{number % 60:02d}"
    made.SOPClassUID = sop_class
    made.SOPInstanceUID = f"{_ROOT}1.{sum(modality.encode())}.{number + 1}"
    made.StudyDate = made.SeriesDate = made.AcquisitionDate = made.ContentDate = "20240315"
    made.StudyTime, made.SeriesTime = "101112.250000", "101140"
    made.AcquisitionTime = f"1011{number % 60:02d}.{number % 1000:03d}000"
    made.ContentTime = f"1012{number % 60:02d}.{number % 1000:03d}000"
    made.AccessionNumber = "A20240315007"
    made.Modality, made.Manufacturer = modality, "SIEMENS"
    made.InstitutionName, made.InstitutionAddress = "St. Gallus Klinik", "Klosterweg 3, 9000 Hallen"
    made.ReferringPhysicianName = "Brackenridge^Alma^^Dr."
    made.StationName = "SCAN-0815"
    made.ProcedureCodeSequence = Sequence([_code("CTCHEST", "99LOCAL", "CT chest with contrast")])
    made.StudyDescription = f"{modality} CHEST/ABDOMEN WITH CONTRAST"
    made.SeriesDescription = f"{modality} thorax axial 5.0 soft tissue"
    made.InstitutionalDepartmentName = "Radiology"
    made.PerformingPhysicianName, made.OperatorsName = "Oakenshaw^Ira", "Pennywhistle^Uma"
    made.ManufacturerModelName = "Definition AS+"
    made.ReferencedStudySequence = Sequence([_reference("1.2.840.10008.3.1.2.3.1", "9.1")])
    made.PatientName, made.PatientID = "Quillfeather^Ottoline", "PID-0084213"
    made.PatientBirthDate, made.PatientSex, made.PatientAge = "19510823", "F", "072Y"
    made.PatientSize, made.PatientWeight = "1.68", "70.5"
    made.PatientAddress = "Turmgasse 12, 9000 Hallen"
    made.AdditionalPatientHistory = "cough, seen by Dr. Brackenridge 12.03.2024"
    made.BodyPartExamined, made.PatientPosition = "CHEST", "HFS"
    made.DeviceSerialNumber, made.SoftwareVersions = "66123", "syngo CT 2012B"
    made.ProtocolName = "Thorax routine"
    made.StudyInstanceUID, made.SeriesInstanceUID = f"{_ROOT}2.1", f"{_ROOT}3.1"
    made.StudyID, made.SeriesNumber, made.InstanceNumber = "41877", 3, number + 1
    made.FrameOfReferenceUID = f"{_ROOT}4.1"
    made.PositionReferenceIndicator = ""
    made.RequestingPhysician = "Brackenridge^Alma^^Dr."
    made.RequestedProcedureDescription = "CT chest with contrast"
    made.PerformedProcedureStepStartDate = "20240315"
    made.PerformedProcedureStepStartTime = "101112.250000"
    made.PerformedProcedureStepID = "PPS41877"
    made.PerformedProcedureStepDescription = "CT chest with contrast"
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepID = "RP41877", "SPS41877"
    request.ScheduledProcedureStepDescription = "CT chest with contrast"
    request.ScheduledProtocolCodeSequence = Sequence([_code("CTCH", "99LOCAL", "CT chest")])
    made.RequestAttributesSequence = Sequence([request])
    return made


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _reference(sop_class: str, number: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = UID(sop_class), _ROOT + number
    return item


def _private(made: Dataset, group: int, creator: str, elements: int) -> None:
    block = made.private_block(group, creator, create=True)
    kinds = (("LO", "STANDARD"), ("DS", "12.5"), ("IS", "7"), ("US", 3), ("SH", "HEAD FIRST"))
    for at in range(elements):
        vr, value = kinds[at % len(kinds)]
        block.add_new(at + 0x08, vr, value)


def _image(made: Dataset, rows: int, columns: int, *, bits: int = 16, samples: int = 1) -> None:
    made.SamplesPerPixel = samples
    made.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
    if samples > 1:
        made.PlanarConfiguration = 0
    made.Rows, made.Columns = rows, columns
    made.BitsAllocated = made.BitsStored = bits
    made.HighBit, made.PixelRepresentation = bits - 1, 0


def _pixels(rows: int, columns: int, frames: int = 1, samples: int = 1) -> np.ndarray:
    """Return smooth structure with some noise, as tissue is, shape (frames, rows, columns, …)."""
    y, x = np.mgrid[0:rows, 0:columns]
    plain = 900 + 600 * np.sin(x / 37.0) * np.cos(y / 29.0)
    noise = np.random.default_rng(7).normal(0, 12, (rows, columns))
    one = (plain + noise).astype(np.uint16)
    if samples > 1:
        one = np.repeat((one >> 3).astype(np.uint8)[..., None], samples, axis=-1)
    return np.broadcast_to(one, (frames, *one.shape))


def _tomograph(made: Dataset, number: int, rows: int) -> None:
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.SliceThickness, made.AcquisitionNumber = "5", 1
    made.ImagePositionPatient = ["-184.6", "-333.6", f"{-1370.5 + 5 * number}"]
    made.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    made.SliceLocation = f"{-1370.5 + 5 * number}"
    made.PixelSpacing = ["0.72265625", "0.72265625"]
    made.WindowCenter, made.WindowWidth = ["50", "-600"], ["350", "1200"]
    made.WindowCenterWidthExplanation = ["WINDOW1", "WINDOW2"]
    made.RescaleIntercept, made.RescaleSlope = "-1024", "1"
    images = (_reference(made.SOPClassUID, f"5.{other}") for other in range(3))
    made.ReferencedImageSequence = Sequence(list(images))
    made.SourceImageSequence = Sequence([_reference(made.SOPClassUID, "6.1")])
    _image(made, rows, rows)


def ct(number: int) -> bytes:
    """Return a CT slice of 512 rows, native, with 260 elements."""
    made = _header(CTImageStorage, "CT", number)
    _tomograph(made, number, 512)
    made.KVP, made.DataCollectionDiameter, made.ReconstructionDiameter = "120", "500", "370"
    made.DistanceSourceToDetector, made.DistanceSourceToPatient = "1085.6", "595"
    made.GantryDetectorTilt, made.TableHeight, made.RotationDirection = "0", "150", "CW"
    made.ExposureTime, made.XRayTubeCurrent, made.Exposure = "500", str(190 + number % 9), "95"
    made.FilterType, made.GeneratorPower, made.FocalSpots = "FLAT", "23", "1.2"
    made.ConvolutionKernel, made.ContrastBolusAgent = ["I30f", "3"], "Ultravist 370"
    made.SingleCollimationWidth, made.TotalCollimationWidth = 0.6, 38.4
    made.SpiralPitchFactor, made.CTDIvol, made.EstimatedDoseSaving = 0.8, 6.42, 12.0
    made.DateOfLastCalibration, made.TimeOfLastCalibration = "20240314", "053011"
    made.IrradiationEventUID = f"{_ROOT}7.1"
    made.CTDIPhantomTypeCodeSequence = Sequence([_code("113691", "DCM", "IEC Body Phantom")])
    _private(made, 0x0019, "SIEMENS CT VA0  COAD", 40)
    _private(made, 0x0021, "SIEMENS CT VA0  GEN", 40)
    _private(made, 0x0029, "SIEMENS MEDCOM HEADER", 24)
    made[0x00291010].VR, made[0x00291010].value = "OB", bytes(9000)
    _private(made, 0x0051, "SIEMENS CT VA0  OST", _missing(made, 260, besides=2))
    return _written(made, _pixels(512, 512).tobytes())


def _missing(made: Dataset, elements: int, besides: int) -> int:
    return elements - besides - sum(1 for _ in made.iterall())


def mr(number: int) -> bytes:
    """Return an MR slice of 256 rows, native."""
    made = _header(MRImageStorage, "MR", number)
    _tomograph(made, number, 256)
    made.ScanningSequence, made.SequenceVariant, made.ScanOptions = "SE", ["SK", "SP"], "PFP"
    made.MRAcquisitionType, made.SequenceName, made.AngioFlag = "2D", "*tse2d1_15", "N"
    made.RepetitionTime, made.EchoTime, made.NumberOfAverages = "4000", "99", "2"
    made.ImagingFrequency, made.ImagedNucleus, made.EchoNumbers = "63.68", "1H", 1
    made.MagneticFieldStrength, made.SpacingBetweenSlices, made.EchoTrainLength = "1.5", "6", "15"
    made.PercentSampling, made.PercentPhaseFieldOfView, made.PixelBandwidth = "80", "100", "130"
    made.TransmitCoilName, made.AcquisitionMatrix = "Body", [0, 256, 205, 0]
    made.InPlanePhaseEncodingDirection, made.FlipAngle, made.SAR = "ROW", "150", "1.02"
    _private(made, 0x0019, "SIEMENS MR HEADER", 20)
    _private(made, 0x0029, "SIEMENS CSA HEADER", 10)
    made[0x00291010].VR, made[0x00291010].value = "OB", bytes(11000)
    _private(made, 0x0051, "SIEMENS MR HEADER", 20)
    return _written(made, _pixels(256, 256).tobytes())


def enhanced_mr(number: int, frames: int = 100, rows: int = 128) -> bytes:
    """Return a multi-frame MR image with functional groups for each frame."""
    made = _header(EnhancedMRImageStorage, "MR", number)
    made.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    made.AcquisitionDateTime, made.NumberOfFrames = "20240315101112.250", frames
    made.SharedFunctionalGroupsSequence = Sequence([_shared_groups()])
    made.PerFrameFunctionalGroupsSequence = Sequence([_frame_groups(at) for at in range(frames)])
    organization = Dataset()
    organization.DimensionOrganizationUID = f"{_ROOT}8.1"
    made.DimensionOrganizationSequence = Sequence([organization])
    _image(made, rows, rows)
    return _written(made, _pixels(rows, rows, frames).tobytes())


def _shared_groups() -> Dataset:
    timing, shared = Dataset(), Dataset()
    timing.RepetitionTime, timing.FlipAngle, timing.EchoTrainLength = "4000", "150", 15
    shared.MRTimingAndRelatedParametersSequence = Sequence([timing])
    images = (_reference(MRImageStorage, f"5.{other}") for other in range(3))
    shared.ReferencedImageSequence = Sequence(list(images))
    return shared


def _frame_groups(at: int) -> Dataset:
    frame, content, position, plane = Dataset(), Dataset(), Dataset(), Dataset()
    content.FrameAcquisitionDateTime = f"202403151011{at % 60:02d}.{at:06d}"
    content.FrameReferenceDateTime = content.FrameAcquisitionDateTime
    content.FrameAcquisitionDuration, content.StackID = 12.5, "1"
    content.InStackPositionNumber, content.DimensionIndexValues = at + 1, [1, at + 1]
    content.FrameLabel = f"frame {at}"
    frame.FrameContentSequence = Sequence([content])
    position.ImagePositionPatient = ["-120", "-110.5", f"{3.5 * at}"]
    frame.PlanePositionSequence = Sequence([position])
    plane.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    frame.PlaneOrientationSequence = Sequence([plane])
    source, derivation, purpose = _reference(MRImageStorage, f"9.{at}"), Dataset(), Dataset()
    source.PurposeOfReferenceCodeSequence = Sequence(
        [_code("121322", "DCM", "Source image for image processing operation")]
    )
    derivation.DerivationDescription = "averaged"
    derivation.SourceImageSequence = Sequence([source])
    derivation.DerivationCodeSequence = Sequence([_code("113094", "DCM", "Reformatting")])
    frame.DerivationImageSequence = Sequence([derivation])
    measures, window, echo = Dataset(), Dataset(), Dataset()
    measures.SliceThickness, measures.PixelSpacing = "5", ["0.9375", "0.9375"]
    frame.PixelMeasuresSequence = Sequence([measures])
    window.WindowCenter, window.WindowWidth = "900", "1800"
    frame.FrameVOILUTSequence = Sequence([window])
    echo.EffectiveEchoTime = 99.0
    frame.MREchoSequence = Sequence([echo])
    purpose.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    frame.MRImageFrameTypeSequence = Sequence([purpose])
    _private(frame, 0x0021, "SIEMENS MR SDI 02", 10)
    return frame


def cr(number: int) -> bytes:
    """Return a radiograph of 3000 rows, JPEG 2000 without loss."""
    made = _header(ComputedRadiographyImageStorage, "CR", number)
    made.ImageType, made.ViewPosition = ["ORIGINAL", "PRIMARY"], "PA"
    made.KVP, made.ExposureTime, made.XRayTubeCurrent = "125", "8", "250"
    made.CassetteID, made.PlateType, made.Sensitivity = "C0815", "ST-VI", "102"
    made.WindowCenter, made.WindowWidth = "900", "1800"
    _image(made, 3000, 3000)
    made.BitsStored, made.HighBit = 12, 11
    return _written(made, encapsulate([_compressed()]), JPEG2000Lossless)


@cache
def _compressed() -> bytes:
    options: dict[str, Any] = {
        "rows": 3000, "columns": 3000, "samples_per_pixel": 1, "number_of_frames": 1,
        "bits_allocated": 16, "bits_stored": 12, "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
    }  # fmt: skip
    return get_encoder(JPEG2000Lossless).encode(_pixels(3000, 3000)[0], **options)


def us(number: int) -> bytes:
    """Return a colour ultrasound loop whose region leaves a margin with text to blank."""
    frames, rows, columns = 20, 480, 640
    made = _header(UltrasoundMultiFrameImageStorage, "US", number)
    made.ImageType, made.NumberOfFrames = ["ORIGINAL", "PRIMARY"], frames
    made.FrameTime, made.FrameIncrementPointer = "33.3", 0x00181063
    area = Dataset()
    area.RegionSpatialFormat, area.RegionDataType, area.RegionFlags = 1, 1, 0
    area.RegionLocationMinX0, area.RegionLocationMinY0 = 60, 50
    area.RegionLocationMaxX1, area.RegionLocationMaxY1 = 600, 440
    area.PhysicalUnitsXDirection = area.PhysicalUnitsYDirection = 3
    area.PhysicalDeltaX = area.PhysicalDeltaY = 0.05
    made.SequenceOfUltrasoundRegions = Sequence([area])
    _image(made, rows, columns, bits=8, samples=3)
    return _written(made, _pixels(rows, columns, frames, 3).tobytes())


def sr(number: int) -> bytes:
    """Return a structured report with measurements and texts."""
    made = _header(ComprehensiveSRStorage, "SR", number)
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.CompletionFlag, made.VerificationFlag = "COMPLETE", "UNVERIFIED"
    made.ConceptNameCodeSequence = Sequence([_code("126000", "DCM", "Imaging Measurement Report")])
    made.ContentSequence = Sequence([item for at in range(60) for item in _findings(at)])
    return _written(made)


def _findings(at: int) -> Iterator[Dataset]:
    text, measured, value = Dataset(), Dataset(), Dataset()
    text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
    text.ConceptNameCodeSequence = Sequence([_code("121071", "DCM", "Finding")])
    text.TextValue = f"nodule {at} in the right upper lobe, seen by Dr. Brackenridge"
    measured.RelationshipType, measured.ValueType = "CONTAINS", "NUM"
    measured.ConceptNameCodeSequence = Sequence([_code("81827009", "SCT", "Diameter")])
    value.NumericValue = f"{4 + at / 10:.1f}"
    value.MeasurementUnitsCodeSequence = Sequence([_code("mm", "UCUM", "millimeter")])
    measured.MeasuredValueSequence = Sequence([value])
    yield text
    yield measured


def rtstruct(number: int) -> bytes:
    """Return a structure set: 20 structures of 20 contours each."""
    made = _header(RTStructureSetStorage, "RTSTRUCT", number)
    made.StructureSetLabel, made.StructureSetName = "Thorax", "Thorax plan 1"
    made.StructureSetDate, made.StructureSetTime = "20240316", "090000"
    made.ReferencedFrameOfReferenceSequence = Sequence([_referenced_images()])
    made.StructureSetROISequence = Sequence([_structure(at) for at in range(20)])
    made.ROIContourSequence = Sequence([_contours(at) for at in range(20)])
    return _written(made)


def _referenced_images() -> Dataset:
    series, study, frame = Dataset(), _reference("1.2.840.10008.3.1.2.3.1", "2.1"), Dataset()
    series.SeriesInstanceUID = f"{_ROOT}3.2"
    series.ContourImageSequence = Sequence(
        [_reference(CTImageStorage, f"10.{at}") for at in range(60)]
    )
    study.RTReferencedSeriesSequence = Sequence([series])
    frame.FrameOfReferenceUID = f"{_ROOT}4.1"
    frame.RTReferencedStudySequence = Sequence([study])
    return frame


def _structure(at: int) -> Dataset:
    item = Dataset()
    item.ROINumber, item.ROIName = at + 1, f"lung {at}"
    item.ReferencedFrameOfReferenceUID = f"{_ROOT}4.1"
    item.ROIGenerationAlgorithm = "MANUAL"
    return item


def _contours(structure: int) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor, item.ReferencedROINumber = [255, 0, 12 * structure], structure + 1
    item.ContourSequence = Sequence([_contour(at) for at in range(20)])
    return item


def _contour(at: int) -> Dataset:
    item = Dataset()
    item.ContourImageSequence = Sequence([_reference(CTImageStorage, f"10.{at}")])
    item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", 100
    item.ContourData = [f"{number / 7:.3f}" for number in range(300)]
    return item


def large(size: int) -> bytes:
    """Return a multi-frame MR image of about `size` bytes of pixel data."""
    frame = 512 * 512 * 2
    return enhanced_mr(0, frames=max(1, size // frame), rows=512)


def _written(made: Dataset, pixels: bytes = b"", syntax: UID = ExplicitVRLittleEndian) -> bytes:
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.SourceApplicationEntityTitle = "SCAN_0815"
    if pixels:
        made.add_new(0x7FE00010, "OB" if syntax.is_encapsulated else "OW", pixels)
        made["PixelData"].is_undefined_length = syntax.is_encapsulated
    buffer = BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


# Name for the table, what makes one instance, and how many are enough for a measurement.
SERIES: Final[dict[str, tuple[Callable[[int], bytes], int]]] = {
    "CT 512² native": (ct, 40),
    "MR 256² native": (mr, 40),
    "enhanced MR, 100 frames": (enhanced_mr, 6),
    "CR 3000² JPEG 2000": (cr, 6),
    "US colour loop, blanked": (us, 3),
    "SR": (sr, 20),
    "RTSTRUCT": (rtstruct, 6),
}
