# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup table, Review and Work on the site itself; `tests/tables` tries their details."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, expect
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

import deployed
import people
from browsing import Visitor
from people import Person

Visit = Callable[..., Visitor]
Studies = dict[Person, str]
LEFT, TOP, WIDTH, HEIGHT = 120, 380, 400, 60  # where a name is burned in
WITH_TABLES = ["hana", "adam"]


@pytest.mark.parametrize("name", WITH_TABLES)
def test_who_is_who_is_found_and_exported(name: str, visit: Visit, studies: Studies) -> None:
    visitor = visit(name)
    page = visitor.open("lookup/master/lookuptable.html")
    for person in people.EVERYBODY:
        with page.expect_response("**/deid/v1/lookup"):
            page.get_by_label("Filter by Patient ID", exact=True).fill(person.patient_id)
        row = page.locator(".tabulator-row").first
        expect(row).to_contain_text(person.patient_id)
        expect(row).to_contain_text("E2E_ID0")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    assert {row["Patient ID"] for row in rows} == {people.ULTRASOUND.patient_id}
    anonymous = deployed.state(studies[people.ULTRASOUND])["anonymous_study_uid"]
    assert anonymous in {value for row in rows for value in row.values()}


@pytest.mark.parametrize("name", WITH_TABLES)
def test_a_name_in_a_picture_is_drawn_over_and_the_study_arrives(name: str, visit: Visit) -> None:
    sent = held_back()
    visitor = visit(name)
    page = visitor.open("review/quarantine.html")
    entry = page.locator(".entry", has_text=str(sent.PatientID))
    entry.click()
    expect(entry).to_have_attribute("aria-current", "true")
    expect(page.locator("#study h2")).to_have_text("Text was found in an image")
    expect(page.locator(".pad .row")).to_contain_text("480 pixels")
    draw_over_the_name(page)
    page.locator(".side").get_by_label("Note").fill("a name below the fan")
    page.get_by_role("button", name="Blank and anonymize again").click()
    expect(page.get_by_role("heading", name="What came of it")).to_be_visible(timeout=90_000)

    (data,) = deployed.files_on_anon(deployed.delivered(sent.StudyInstanceUID, 1))
    pixels = dcmread(BytesIO(data)).pixel_array
    assert not pixels[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH].any()
    assert np.array_equal(pixels[150:TOP], sent.pixel_array[150:TOP])


@pytest.mark.parametrize("name", WITH_TABLES)
def test_the_work_is_seen(
    name: str, visit: Visit, studies: Studies, picture: Callable[[Page, str], None]
) -> None:
    page = visit(name).open("work/work.html")
    expect(page.locator("#workers .badge").first).to_have_text("alive")
    expect(page.locator("#days canvas, #hours canvas, #ages canvas")).to_have_count(3)
    delivered = page.locator(".figure", has_text="all destinations").locator("strong")
    assert int(delivered.inner_text().replace(",", "")) >= len(studies)
    picture(page, "work")


@pytest.mark.parametrize("name", ["vera", "rosa"])
def test_others_reach_none_of_them(name: str, visit: Visit) -> None:
    visitor = visit(name)
    visitor.open("index.html")
    for path in ("extra/lookup/master/lookuptable.html", "extra/review/quarantine.html",
                 "extra/work/work.html", "deid/v1/review", "deid/v1/work"):  # fmt: skip
        assert visitor.context.request.get(f"/e2e-phi/{path}").status == 403, path


def held_back() -> Dataset:
    """Send an ultrasound image with a name in its scan, and wait until it is held back."""
    patient = replace(
        people.ULTRASOUND,
        name="Sandberg^Maja",
        patient_id=f"MRN-{generate_uid()[-12:]}",
        instances=1,
    )
    (instance,) = people.study_of(patient)
    image = Image.fromarray(instance.pixel_array.copy())
    drawing = ImageDraw.Draw(image)
    drawing.rectangle((LEFT, TOP, LEFT + WIDTH - 1, TOP + HEIGHT - 1), fill=0)
    font = ImageFont.load_default(36)
    drawing.text((LEFT + 10, TOP + 8), "SANDBERG MAJA", fill=255, font=font)
    instance.PixelData = np.asarray(image).tobytes()
    assert deployed.send([instance]) == [0]
    deployed.wait_for(
        "it is held back",
        lambda: deployed.state(instance.StudyInstanceUID).get("state") == "quarantined",
    )
    return instance


def draw_over_the_name(page: Page) -> None:
    """Draw a rectangle with the mouse, as a person does."""
    box = page.locator(".picture svg").bounding_box()
    assert box is not None
    scale = box["width"] / 640
    page.mouse.move(box["x"] + LEFT * scale, box["y"] + TOP * scale)
    page.mouse.down()
    right, bottom = (LEFT + WIDTH) * scale, (TOP + HEIGHT) * scale
    page.mouse.move(box["x"] + right, box["y"] + bottom, steps=5)
    page.mouse.up()
