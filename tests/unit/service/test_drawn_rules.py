# SPDX-License-Identifier: GPL-3.0-or-later
"""What persons draw on images: kept, applied beside all other rules, and ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from pydicom.datadict import tag_for_keyword

from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.drawn_rules import DrawingError, DrawnRules
from orthanc_deid.errors import Quarantine
from orthanc_deid.pixel_decision import Blank, PixelDecision, decide
from orthanc_deid.pixel_rules import load_pixel_rules
from orthanc_deid.rectangles import Rectangle

IMAGE = {
    "StudyInstanceUID": "1.2.3",
    "Modality": "US",
    "Manufacturer": "ACME",
    "ManufacturerModelName": "X1",
    "Rows": "480",
    "Columns": "640",
}
US = {
    **IMAGE,
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1",
    "ImageType": "ORIGINAL\\PRIMARY",
    "SamplesPerPixel": "1",
    "PhotometricInterpretation": "MONOCHROME2",
}
TOP = Rectangle(0, 0, 640, 40)


@pytest.fixture
def rules(crosswalk: Crosswalk) -> DrawnRules:
    crosswalk.studies.add(orthanc_id="s-1")
    crosswalk.studies.add(orthanc_id="s-2")
    return DrawnRules(crosswalk.engine)


def decided(
    rules: DrawnRules, study: int = 1, site: list[object] | None = None, **image: str
) -> PixelDecision:
    """What the engine does with an image, by all rules that hold for its study."""
    drawn = tuple(rule.pixel_rule() for rule in rules.of_study(study))
    values: Mapping[int, str] = {
        tag_for_keyword(name) or 0: value for name, value in {**US, **image}.items()
    }
    return decide(values, (), replace(load_pixel_rules(site or []), drawn=drawn))


def held_back(rules: DrawnRules, study: int = 1, **image: str) -> bool:
    try:
        decided(rules, study, **image)
    except Quarantine:
        return True
    return False


def test_what_is_drawn_for_a_study_holds_for_its_images_of_that_size(rules: DrawnRules) -> None:
    assert held_back(rules)
    rule = rules.add(1, IMAGE, [TOP], scope="study", actor="ann", note=" name in the corner ")
    assert decided(rules) == Blank(f"drawn rule {rule.id}", (TOP,))
    assert decided(rules, Modality="OT", Manufacturer="other")
    assert held_back(rules, Rows="481")
    assert held_back(rules, StudyInstanceUID="1.2.4")
    assert held_back(rules, study=2)
    assert rule.note == "name in the corner"


def test_what_is_drawn_for_a_device_holds_for_all_its_images(rules: DrawnRules) -> None:
    rules.add(1, IMAGE, [TOP], scope="device", actor="ann")
    assert not held_back(rules, study=2, StudyInstanceUID="9.9")
    for other in ({"ManufacturerModelName": "X2"}, {"Modality": "OT"}, {"Columns": "641"}):
        assert held_back(rules, study=2, **other)


def test_a_drawing_adds_to_what_other_rules_blank(rules: DrawnRules) -> None:
    bottom = Rectangle(0, 440, 640, 40)
    site = [{"name": "room 3", "where": {"Modality": "US"}, "blank": [list(bottom)]}]
    assert decided(rules, site=site) == Blank("room 3", (bottom,))
    first = rules.add(1, IMAGE, [TOP], scope="device", actor="ann")
    second = rules.add(1, IMAGE, [Rectangle(5, 5, 9, 9)], scope="study", actor="bob")
    found = decided(rules, site=site)
    assert found.rule == f"drawn rule {second.id}, drawn rule {first.id}, room 3"
    assert isinstance(found, Blank)
    assert set(found.rectangles) == {TOP, bottom, Rectangle(5, 5, 9, 9)}


@pytest.mark.parametrize("verdict", ["quarantine", "clean"])
def test_a_drawing_answers_a_rule_that_wants_a_person(rules: DrawnRules, verdict: str) -> None:
    where = {name: IMAGE[name] for name in ("Modality", "Manufacturer", "ManufacturerModelName")}
    rule = {"name": "room 3", "where": where, "rows": 480, "columns": 640, verdict: True}
    rules.add(1, IMAGE, [TOP], scope="device", actor="ann")
    found = decided(rules, site=[rule])
    assert isinstance(found, Blank)
    assert found.rectangles == (TOP,)


def test_a_rule_that_is_ended_is_not_applied_any_more(
    rules: DrawnRules, crosswalk: Crosswalk
) -> None:
    rule = rules.add(1, IMAGE, [TOP], scope="study", actor="ann")
    assert rules.end(rule.id, actor="bob")
    assert not rules.end(rule.id, actor="bob")
    assert rules.all() == []
    assert held_back(rules)
    with crosswalk.engine.connect() as connection:
        query = "SELECT actor, action, detail FROM events WHERE action LIKE 'pixel%%' ORDER BY id"
        assert [tuple(row) for row in connection.exec_driver_sql(query)] == [
            ("ann", "pixel rule drawn", f"rule {rule.id} for the study, 1 rectangles"),
            ("bob", "pixel rule ended", f"rule {rule.id}"),
        ]


@pytest.mark.parametrize(
    ("image", "rectangles", "scope", "problem"),
    [
        ({"Manufacturer": ""}, [TOP], "device", "does not say Manufacturer; draw it for the study"),
        ({"Manufacturer": "A\\B"}, [TOP], "device", "several devices"),
        ({"Rows": ""}, [TOP], "study", "does not say Rows"),
        ({}, [], "study", "1 to 50 rectangles"),
        ({}, [TOP] * 51, "study", "1 to 50 rectangles"),
        ({}, [Rectangle(700, 0, 5, 5)], "study", "outside the image"),
        ({}, [Rectangle(0, 0, 0, 5)], "study", "outside the image"),
    ],
)
def test_a_drawing_that_cannot_become_a_rule_says_why(
    embedded: object, image: dict[str, str], rectangles: list[Rectangle], scope: str, problem: str
) -> None:
    rules = DrawnRules(Crosswalk(embedded, base_name="DEMO").engine)
    with pytest.raises(DrawingError, match=problem):
        rules.add(1, {**IMAGE, **image}, rectangles, scope=scope, actor="ann")
