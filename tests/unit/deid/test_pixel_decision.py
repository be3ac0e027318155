# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images pass, which are blanked, and which wait for a person."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword

from orthanc_deid.errors import Quarantine
from orthanc_deid.pixel_decision import (
    REGION_CORNERS,
    Blank,
    Clean,
    decide,
    needed_tags,
    region,
)
from orthanc_deid.pixel_risks import RISKS
from orthanc_deid.pixel_rules import load_pixel_rules
from orthanc_deid.rectangles import Rectangle, outside

STORAGE = "1.2.840.10008.5.1.4.1.1."
RULES = load_pixel_rules()
CT = {
    "SOPClassUID": STORAGE + "2",
    "Modality": "CT",
    "ImageType": "ORIGINAL\\PRIMARY\\AXIAL",
    "Manufacturer": "ACME",
    "SamplesPerPixel": "1",
    "PhotometricInterpretation": "MONOCHROME2",
    "Rows": "512",
    "Columns": "512",
    "BitsStored": "12",
    "HighBit": "11",
}
US = {
    **CT,
    "SOPClassUID": STORAGE + "6.1",
    "Modality": "US",
    "ImageType": "ORIGINAL\\PRIMARY",
    "Rows": "480",
    "Columns": "640",
}


def decided(image, regions=(), rules=RULES):
    values = {tag_for_keyword(keyword) or keyword: value for keyword, value in image.items()}
    return decide(values, regions, rules)


def quarantine_code(image, regions=(), rules=RULES):
    with pytest.raises(Quarantine) as refused:
        decided(image, regions, rules)
    return refused.value.code


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [
        ("1", "CR"),
        ("1.1", "DX"),
        ("1.2", "MG"),
        ("2", "CT"),
        ("2.1", "CT"),
        ("4", "MR"),
        ("4.1", "MR"),
        ("20", "NM"),
        ("128", "PT"),
        ("130", "PT"),
        ("13.1.3", "MG"),
        ("66.4", "SEG"),
        ("481.2", "RTDOSE"),
        ("77.1.6", "SM"),
    ],
)
def test_an_image_straight_from_a_detector_passes(sop_class, modality):
    image = {**CT, "SOPClassUID": STORAGE + sop_class, "Modality": modality}
    assert decided(image) == Clean()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned-in"),
        ({"BurnedInAnnotation": "yes "}, "burned-in"),
        ({"SOPClassUID": STORAGE + "6.1\0"}, "ultrasound"),
        ({"BurnedInAnnotation": "MAYBE"}, "burned-in"),
        ({"SOPClassUID": STORAGE + "6.1", "Modality": "US"}, "ultrasound"),
        ({"Modality": "US"}, "ultrasound"),
        ({"SOPClassUID": STORAGE + "7"}, "risky-class"),
        ({"SOPClassUID": STORAGE + "7.4"}, "risky-class"),
        ({"SOPClassUID": ""}, "risky-class"),
        ({"SOPClassUID": "1.3.12.2.1107.5.9.1"}, "risky-class"),
        ({"SOPClassUID": STORAGE + "12.1", "Modality": "XA"}, "risky-modality"),
        ({"SOPClassUID": STORAGE + "12.2", "Modality": "RF"}, "risky-modality"),
        ({"Modality": "SC"}, "risky-modality"),
        ({"Modality": "ES"}, "risky-modality"),
        ({"Modality": "GM"}, "risky-modality"),
        ({"Modality": "IO"}, "risky-modality"),
        ({"Modality": "OT"}, "risky-modality"),
        ({"SOPClassUID": STORAGE + "1", "Modality": "CR", "ConversionType": "DF"}, "digitized"),
        ({"ImageType": "DERIVED\\SECONDARY\\SCREEN SAVE"}, "screen"),
        ({"ImageType": "DERIVED\\SECONDARY\\OTHER\\CT_SOM5 PROT"}, "screen"),
        ({"ImageType": "DERIVED\\PRIMARY\\VXTL STATE"}, "screen"),
        ({"ImageType": "DERIVED\\SECONDARY\\REPORTDATA"}, "pixel-rule"),
        ({"SeriesDescription": "Patient Protocol"}, "dose-screen"),
        ({"SeriesDescription": "Dose Info"}, "dose-screen"),
        ({"CommentsOnRadiationDose": "Total"}, "dose-screen"),
        ({"SamplesPerPixel": "3", "PhotometricInterpretation": "RGB"}, "colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        (
            {"SOPClassUID": STORAGE + "128", "Modality": "PT", "SamplesPerPixel": "3"},
            "fusion",
        ),
        (
            {"SOPClassUID": STORAGE + "128", "Modality": "PT", "SeriesDescription": "Fused axial"},
            "fusion",
        ),
        (
            {
                "SOPClassUID": STORAGE + "20",
                "Modality": "NM",
                "ImageType": "DERIVED\\SECONDARY\\STATIC",
            },
            "nm-screen",
        ),
        (
            {"SOPClassUID": STORAGE + "77.1.6", "Modality": "SM", "ImageType": "O\\P\\LABEL"},
            "slide-label",
        ),
        ({"Rows": ""}, "pixel-size"),
        ({"Columns": "many"}, "pixel-size"),
    ],
)
def test_an_image_of_a_risky_kind_waits_for_a_person(changes, code):
    assert quarantine_code({**CT, **changes}) == code


def test_every_kind_of_risk_is_shown_above():
    told = test_an_image_of_a_risky_kind_waits_for_a_person.pytestmark[0].args[1]
    assert {risk.code for risk in RISKS} <= {code for _, code in told}


@pytest.mark.parametrize(
    "changes",
    [
        {"SeriesDescription": "Low dose chest"},
        {"ImageType": "DERIVED\\SECONDARY\\REFORMATTED\\AVERAGE"},
        {"ImageType": "ORIGINAL\\PRIMARY\\LOCALIZER\\CT_SOM5 TOP"},
        {"ImageType": "DERIVED\\PRIMARY\\AXIAL\\PHOTON"},
        {"ConversionType": "WSD"},
        {"BurnedInAnnotation": "NO"},
    ],
)
def test_words_that_only_look_risky_do_not_hold_an_image_back(changes):
    assert decided({**CT, **changes}) == Clean()


@pytest.mark.parametrize("modality", ["US", "XA", "SC", "ES", "OT"])
def test_burned_in_annotation_no_does_not_free_a_risky_image(modality):
    assert quarantine_code({**CT, "Modality": modality, "BurnedInAnnotation": "NO"})


def test_ultrasound_keeps_its_regions_and_blanks_the_rest():
    found = decided(US, [Rectangle(100, 50, 440, 400)])
    assert isinstance(found, Blank)
    assert found.rule == "ultrasound regions"
    assert set(found.rectangles) == {
        Rectangle(0, 0, 640, 50),
        Rectangle(0, 50, 100, 400),
        Rectangle(540, 50, 100, 400),
        Rectangle(0, 450, 640, 30),
    }


@pytest.mark.parametrize(
    "regions",
    [
        [],
        [None],
        [Rectangle(100, 50, 440, 400), None],
        [Rectangle(0, 0, 640, 480)],
        [Rectangle(0, 1, 640, 479)],
        [Rectangle(0, 0, 2000, 2000)],
        [Rectangle(700, 10, 20, 20)],
    ],
)
def test_regions_that_set_no_text_apart_do_not_free_ultrasound(regions):
    assert quarantine_code(US, regions) == "ultrasound"


def test_regions_of_anything_but_ultrasound_do_not_count():
    assert quarantine_code({**US, "SOPClassUID": STORAGE + "7"}, [Rectangle(9, 9, 90, 90)])


def test_a_shipped_rule_and_the_regions_blank_together():
    image = {**US, "Manufacturer": "GE", "ManufacturerModelName": "LOGIQ9"}
    found = decided(image, [Rectangle(0, 20, 640, 460)])
    assert isinstance(found, Blank)
    assert set(found.rectangles) == {Rectangle(0, 0, 640, 40), Rectangle(0, 0, 640, 20)}


def site(**rule):
    rule.setdefault("where", {"Manufacturer": "ACME", "ManufacturerModelName": "C7"})
    return load_pixel_rules([{"name": "ours", **rule}])


XA = {**CT, "SOPClassUID": STORAGE + "12.1", "Modality": "XA", "ManufacturerModelName": "C7"}


def test_a_site_rule_blanks_its_rectangles_clipped_to_the_image():
    found = decided(XA, rules=site(rows=512, columns=512, blank=[[500, 500, 100, 100]]))
    assert found == Blank("ours", (Rectangle(500, 500, 12, 12),))


def test_a_site_rule_keeps_its_rectangles():
    found = decided(XA, rules=site(keep=[[0, 20, 512, 492]]))
    assert found == Blank("ours", (Rectangle(0, 0, 512, 20),))


def test_a_site_rule_is_taken_at_its_word_about_ultrasound():
    rules = site(where={"Manufacturer": "ACME"}, blank=[[0, 0, 640, 9]])
    found = decided(US, [Rectangle(100, 50, 440, 400)], rules)
    assert found == Blank("ours", (Rectangle(0, 0, 640, 9),))


def test_a_site_rule_passes_a_device():
    assert decided(XA, rules=site(rows=512, columns=512, clean=True)) == Clean("ours")


def test_a_site_rule_holds_images_back():
    rules = site(where={"Modality": "CT"}, quarantine=True)
    assert quarantine_code(CT, rules=rules) == "pixel-rule"


@pytest.mark.parametrize("verdict", ["blank", "keep"])
def test_a_rule_whose_rectangles_miss_the_image_frees_nothing(verdict):
    rules = site(rows=512, **{verdict: [[600, 0, 900, 10]]})
    assert quarantine_code(XA, rules=rules) == "pixel-rule"


def test_an_overlay_in_spare_bits_is_cleared():
    assert decided({**CT, 0x60000102: "12", 0x60020102: "0"}) == Blank(
        "overlay in the pixels", (), (12,)
    )


def test_an_overlay_in_the_bits_of_the_image_waits_for_a_person():
    assert quarantine_code({**CT, 0x60000102: "11"}) == "overlay-bits"


def test_an_overlay_with_an_element_of_its_own_changes_no_pixel():
    assert decided({**CT, 0x60000102: "0"}) == Clean()


def test_what_a_decision_reads_is_collected():
    assert needed_tags(RULES) >= {0x00080060, 0x00081090, 0x60000102, 0x601E0102, 0x00280301}


def test_the_reason_says_what_to_do_and_no_value():
    image = {**CT, "SeriesDescription": "Dose info of Doe", "Manufacturer": "Doe"}
    with pytest.raises(Quarantine) as refused:
        decided(image)
    assert "add a pixel rule" in refused.value.message
    assert "Doe" not in refused.value.message


def test_the_corners_of_a_region_are_inside_it():
    corners = dict(zip(REGION_CORNERS, (10, 20, 109, 219), strict=True))
    assert region(corners) == Rectangle(10, 20, 100, 200)


@pytest.mark.parametrize("wrong", [{0x0018601C: 10}, {0x0018601E: 5}])
def test_a_region_with_wrong_corners_is_none(wrong):
    corners = dict(zip(REGION_CORNERS, (10, 20, 109, 219), strict=True))
    assert region({**corners, **wrong}) is None
    assert region({0x00186018: 1}) is None


small = st.integers(-4, 24)
rectangles = st.lists(st.builds(Rectangle, small, small, st.integers(0, 24), st.integers(0, 24)))


@given(kept=rectangles)
def test_what_lies_outside_is_all_that_is_not_kept_and_nothing_twice(kept):
    columns, rows = 20, 15
    pixels = [(x, y) for r in outside(kept, columns, rows) for x, y in points(r)]
    inside = {point for r in kept for point in points(r)}
    assert len(pixels) == len(set(pixels))
    assert set(pixels) == {(x, y) for x in range(columns) for y in range(rows)} - inside


def points(rectangle):
    return [
        (x, y)
        for x in range(rectangle.left, rectangle.right)
        for y in range(rectangle.top, rectangle.bottom)
    ]
