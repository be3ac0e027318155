# SPDX-License-Identifier: GPL-3.0-or-later
"""A study with a name in its picture: held back, looked at, drawn over, and gone out."""

from __future__ import annotations

import itertools
from copy import deepcopy
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, expect
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid

from orthanc_deid.states import State

from .desk import Desk, Open, Picture

PAGE = "review/quarantine.html"
ROWS, COLUMNS = 480, 640
TEXT = (60, 150, 420, 60)  # where the name is burned in


NUMBERS = itertools.count(1)


def ultrasound(name: str, model: str) -> Dataset:
    """A picture of a device that no rule knows, with a name in the middle of it."""
    dataset = deepcopy(dcmread(str(get_testdata_file("CT_small.dcm"))))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = UltrasoundImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    dataset.Modality, dataset.Manufacturer = "US", "Acme Ultrasound"
    dataset.ManufacturerModelName = model
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    for keyword in (
        *("RescaleIntercept", "RescaleSlope", "WindowCenter", "WindowWidth", "PixelPaddingValue"),
        *("SmallestImagePixelValue", "LargestImagePixelValue"),
    ):
        dataset.pop(keyword, None)
    picture = Image.new("L", (COLUMNS, ROWS), 20)
    font = ImageFont.load_default(36)
    ImageDraw.Draw(picture).text((70, 160), "LINDQVIST ASTRID", fill=255, font=font)
    dataset.PixelData = np.asarray(picture).tobytes()
    dataset["PixelData"].VR = "OB"
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 20, 40
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 620, 470
    dataset.SequenceOfUltrasoundRegions = [region]
    dataset.PatientName, dataset.PatientID = name, f"MRN-77000{next(NUMBERS)}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return dataset


@pytest.fixture
def held_back(desk: Desk) -> Dataset:
    """A study that waits for a person."""
    dataset = ultrasound("Lindqvist^<b>Astrid</b>", f"Sono {next(NUMBERS)}")
    desk.phi.store(dataset)
    desk.admit()
    return dataset


def choose(page: Page, dataset: Dataset) -> None:
    """Choose a study in the list, and wait for its picture."""
    entry = page.locator(".entry", has_text=str(dataset.PatientID))
    # The page shows the first one by itself, which may be another test's.
    shown = page.locator("#study article").element_handle()
    expect(page.locator(".entry[aria-current=true]")).to_have_count(1)
    if entry.get_attribute("aria-current") != "true":
        entry.click()
        shown.wait_for_element_state("hidden")
    expect(page.locator(".pad .row")).to_contain_text(f"{ROWS} pixels")


def draw(page: Page) -> None:
    """Draw a rectangle over the name, by hand."""
    box = page.locator(".picture svg").bounding_box()
    assert box is not None
    left, top, width, height = TEXT
    scale = box["width"] / COLUMNS
    page.mouse.move(box["x"] + left * scale, box["y"] + top * scale)
    page.mouse.down()
    page.mouse.move(box["x"] + (left + width) * scale, box["y"] + (top + height) * scale, steps=5)
    page.mouse.up()


def went_out(desk: Desk, dataset: Dataset) -> np.ndarray:
    """The pixels of the study on Anon."""
    found = [
        dcmread(BytesIO(data))
        for data in desk.anon.files.values()
        if dcmread(BytesIO(data)).ManufacturerModelName == dataset.ManufacturerModelName
    ]
    assert len(found) == 1
    return found[0].pixel_array


def test_a_name_in_a_picture_is_drawn_over_and_the_study_goes_out(
    visit: Open, desk: Desk, held_back: Dataset, picture: Picture
) -> None:
    page = visit(PAGE)
    choose(page, held_back)
    expect(page.locator("#study h2")).to_have_text("Text was found in an image")
    expect(page.locator("#study .badge").first).to_have_text("quarantined")
    assert page.locator(".picture .found").count() >= 1
    expect(page.locator(".entry b")).to_have_count(0)
    go = page.get_by_role("button", name="Blank and anonymize again")
    expect(go).to_be_disabled()
    draw(page)
    page.locator(".side").get_by_label("Note").fill("a name in the middle")
    picture(page, "review")
    go.click()
    expect(page.get_by_role("heading", name="What came of it")).to_be_visible(timeout=60_000)
    expect(page.locator(".pair img")).to_have_count(2)
    expect(page.locator(".entry", has_text=str(held_back.PatientID))).to_have_count(0)
    expect(page.locator("#rules")).to_contain_text("a name in the middle")
    pixels = went_out(desk, held_back)
    left, top, width, height = TEXT
    assert not pixels[top : top + height, left : left + width].any()
    assert pixels[300, 300] == 20


def test_what_was_found_can_be_taken_and_drawn_by_numbers(
    visit: Open, desk: Desk, held_back: Dataset
) -> None:
    page = visit(PAGE)
    choose(page, held_back)
    page.get_by_role("button", name="Take what was found").click()
    assert page.locator(".picture .blanked").count() >= 1
    page.locator(".rectangles").get_by_label("left").first.fill("0")
    page.locator(".rectangles").get_by_label("width").first.fill("640")
    page.locator(".rectangles").get_by_label("height").first.fill("120")
    page.locator(".rectangles").get_by_label("height").first.blur()
    page.get_by_label("This device, from now on").check()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Blank and anonymize again").click()
    expect(page.get_by_role("heading", name="What came of it")).to_be_visible(timeout=60_000)
    assert went_out(desk, held_back) is not None
    other = ultrasound("Else^Somebody", str(held_back.ManufacturerModelName))
    desk.phi.store(other)
    desk.admit()
    expect(page.locator("#rules")).to_contain_text(str(held_back.ManufacturerModelName))
    waiting = desk.crosswalk.studies.in_states([State.QUARANTINED])
    assert other.StudyInstanceUID not in {study.study_instance_uid for study in waiting}


def test_a_release_needs_a_note_and_lets_it_go_as_it_is(
    visit: Open, desk: Desk, held_back: Dataset
) -> None:
    page = visit(PAGE)
    choose(page, held_back)
    page.get_by_role("button", name="Release as it is").click()
    expect(page.get_by_role("alert")).to_contain_text("Write why")
    page.locator(".decide textarea").fill("the text is the name of the phantom")
    page.get_by_role("button", name="Release as it is").click()
    expect(page.get_by_role("heading", name="What came of it")).to_be_visible(timeout=60_000)
    assert went_out(desk, held_back)[TEXT[1] : TEXT[1] + 60].max() == 255


def test_a_rejected_study_leaves_the_list(visit: Open, desk: Desk, held_back: Dataset) -> None:
    page = visit(PAGE)
    choose(page, held_back)
    page.locator(".decide textarea").fill("a test of the device")
    page.get_by_role("button", name="Reject").click()
    expect(page.locator(".entry", has_text=str(held_back.PatientID))).to_have_count(0)
    (study,) = desk.crosswalk.studies.in_states([State.REJECTED])
    assert study.reason == "a test of the device"


@pytest.mark.parametrize("account", ["viewer", "researcher"])
def test_others_cannot_look_or_decide(visit: Open, account: str) -> None:
    page = visit("index.html", account)
    expect(page.locator("nav[aria-label=Pages]")).to_be_visible()
    expect(page.get_by_role("link", name="Review")).to_have_count(0)
    study = "-".join(["0" * 8] * 5)
    assert page.request.get(f"/extra/{PAGE}").status == 403
    assert page.request.get("/deid/v1/review").status == 403
    for act in ("blank", "release", "reject", "retry"):
        assert page.request.post(f"/deid/v1/studies/{study}/{act}", data="{}").status == 403
