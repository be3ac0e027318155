# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixel rules: signatures, the shipped table, and what a site adds."""

import pytest
from pydicom.datadict import tag_for_keyword

from orthanc_deid.errors import ProfileError
from orthanc_deid.pixel_rules import PixelRule, load_pixel_rules, shipped_rules
from orthanc_deid.pixel_signatures import (
    All,
    Any,
    Comparison,
    Not,
    Signature,
    SignatureError,
    parse_signature,
)
from orthanc_deid.rectangles import Rectangle


def values(**attributes):
    return {tag_for_keyword(keyword): value for keyword, value in attributes.items()}


ACME = values(Modality="US", Manufacturer="ACME Medical", ManufacturerModelName="X1", Rows="768")


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ('Modality.equals("US")', True),
        ('Modality.equals("us")', False),
        ('Modality.equalsIgnoreCase("us")', True),
        ('Manufacturer.contains("Med")', True),
        ('Manufacturer.contains("MED")', False),
        ('Manufacturer.containsIgnoreCase("MED")', True),
        ('Manufacturer.startsWith("ACME")', True),
        ('Manufacturer.startsWith("Medical")', False),
        ('Manufacturer.endsWith("Medical")', True),
        ('Manufacturer.startsWithIgnoreCase("acme")', True),
        ('Manufacturer.endsWithIgnoreCase("MEDICAL")', True),
        ('ManufacturerModelName.matches("X[0-9]")', True),
        ('Manufacturer.matches("ACME")', False),
        ('[0008,0060].equals("US")', True),
        ('StationName.contains("X")', False),
        ('!StationName.contains("X")', True),
        ('Modality.equals("CT") + Modality.equals("US")', True),
        ('Modality.equals("CT") + Modality.equals("US") * Rows.equals("1")', False),
        ('(Modality.equals("US") + Modality.equals("CT")) * Rows.equals("1")', False),
        ('!Modality.equals("CT") * Rows.equals("768")', True),
        ('!(Modality.equals("US") * Rows.equals("768"))', False),
        ('SeriesDescription.containsIgnoreCase ("FFR")', False),
    ],
)
def test_a_signature_is_understood_as_ctp_does(signature, expected):
    assert parse_signature(signature)(ACME) is expected


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        ('Manufaktur.equals("X")', "did you mean Manufacturer?"),
        ('Modality.equal("US")', "did you mean equals?"),
        ('Modality.equals("")', "empty"),
        ('Modality.matches("(")', "pattern"),
        ('Modality.equals("US") Rows.equals("1")', "join the parts"),
        ('(Modality.equals("US")', "not closed"),
        ('Modality.equals("US") *', "missing"),
        ('Modality equals "US"', "from character 1"),
        ("", "missing"),
    ],
)
def test_a_wrong_signature_is_refused_with_the_reason(signature, told):
    with pytest.raises(SignatureError, match=told.replace("?", r"\?")):
        parse_signature(signature)


def example(signature: Signature) -> dict[int, str]:
    """Make the values of an image that a signature without negation matches."""
    match signature:
        case Comparison(tag, _, wanted):
            return {tag: wanted}
        case Any(parts):
            return example(parts[0])
        case All(parts):
            merged: dict[int, str] = {}
            for part in parts:
                for tag, value in example(part).items():
                    merged[tag] = "\\".join(filter(None, (merged.get(tag), value)))
            return merged
        case Not():
            raise AssertionError("no shipped rule negates")


@pytest.mark.parametrize("rule", shipped_rules(), ids=lambda rule: rule.name)
def test_each_shipped_rule_matches_an_image_made_from_its_signature(rule: PixelRule):
    image = example(rule.signature)
    columns = rule.widest or int(image.get(0x00280011, 512))
    assert rule.matches(image, columns)
    assert not rule.matches({}, columns)
    assert bool(rule.rectangles) == (rule.verdict == "blank")
    assert all(r.clip(columns, 10_000) for r in rule.rectangles)


@pytest.mark.parametrize("rule", shipped_rules(), ids=lambda rule: rule.name)
def test_no_shipped_rule_stands_behind_one_that_always_comes_first(rule: PixelRule):
    image = example(rule.signature)
    columns = rule.widest or int(image.get(0x00280011, 512))
    found = load_pixel_rules().find(image, columns)
    assert found is not None
    assert found is rule or found.rectangles == rule.rectangles or found.verdict == "quarantine"


def test_a_bar_does_not_serve_an_image_that_is_wider_than_it():
    logiq = values(Modality="US", ManufacturerModelName="LOGIQ9")
    assert load_pixel_rules().find(logiq, 640) is not None
    assert load_pixel_rules().find(logiq, 1024) is None


def test_no_shipped_rule_passes_an_image_unseen():
    assert {rule.verdict for rule in shipped_rules()} == {"blank", "quarantine"}


SITE_RULE = {
    "name": "Room 3",
    "where": {"Manufacturer": "acme", "ManufacturerModelName": ["X0", "X1"], "Rows": 768},
    "columns": 1024,
    "blank": [[0, 0, 1024, 60]],
}


def test_a_site_rule_matches_by_attributes_and_size():
    rule = load_pixel_rules([SITE_RULE]).rules[0]
    assert rule.rectangles == (Rectangle(0, 0, 1024, 60),)
    assert rule.matches({**ACME, 0x00280011: "1024"}, 1024)
    assert not rule.matches({**ACME, 0x00280011: "800"}, 800)
    assert not rule.matches({**ACME, 0x00081090: "Y1", 0x00280011: "1024"}, 1024)


def test_a_site_rule_comes_before_the_shipped_ones():
    own = {
        "name": "ours",
        "signature": 'ManufacturerModelName.equals("LOGIQ9")',
        "keep": [[0, 50, 640, 430]],
    }
    logiq = values(Modality="US", ManufacturerModelName="LOGIQ9")
    found = load_pixel_rules([own]).find(logiq, 640)
    assert found is not None
    assert found.name == "ours"


def test_a_site_rule_names_the_method_it_wants():
    rule = {"name": "r", "where": {"Manufacturer": {"startsWith": "ACME"}}, "quarantine": True}
    found = load_pixel_rules([rule]).rules[0]
    assert found.matches(ACME, 1)
    assert not found.matches(values(Manufacturer="The ACME"), 1)


def test_the_attributes_of_every_rule_are_collected():
    rules = load_pixel_rules([{"name": "r", "where": {"StationName": "A"}, "quarantine": True}])
    assert {0x00081010, 0x00080070, 0x00020013} <= rules.tags


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"where": {"Manufakturer": "x"}}, "did you mean Manufacturer?"),
        ({"where": {"Manufacturer": {"begins": "x"}}}, "begins is no method"),
        ({"where": {"Manufacturer": []}}, "empty list"),
        ({"where": {"Manufacturer": None}}, "takes a text"),
        ({"where": {}}, "names attributes"),
        ({"signature": 'Rows.equals("1")'}, "either where or signature"),
        ({"balnk": []}, "did you mean blank?"),
        ({"name": ""}, "give it a name"),
        ({"clean": True}, "exactly one of"),
        ({"blank": []}, "a list of rectangles"),
        ({"blank": [[0, 0, 10]]}, "no rectangle"),
        ({"blank": [[0, 0, -10, 4]]}, "no rectangle"),
        ({"blank": [[0, 0, 0, 4]]}, "is empty"),
        ({"columns": "1024"}, "whole number"),
    ],
)
def test_a_wrong_site_rule_is_refused_with_what_to_change(change, told):
    with pytest.raises(ProfileError) as refused:
        load_pixel_rules([{**SITE_RULE, **change}])
    assert any(told in problem for problem in refused.value.problems)


def test_every_wrong_rule_is_told_at_once():
    with pytest.raises(ProfileError) as refused:
        load_pixel_rules([{"name": "a"}, {"name": "b"}])
    assert {problem.split(": ")[1] for problem in refused.value.problems} == {"a", "b"}


CLEAN = {
    "name": "c-arm",
    "where": {"Manufacturer": ["ACME", "Acme Inc"], "ManufacturerModelName": "C7"},
    "rows": 1024,
    "columns": 1024,
    "clean": True,
}


def test_a_site_may_call_one_device_and_size_clean():
    assert load_pixel_rules([CLEAN]).rules[0].verdict == "clean"


@pytest.mark.parametrize("missing", ["rows", "columns"])
def test_a_clean_rule_without_the_size_is_refused(missing):
    rule = {key: value for key, value in CLEAN.items() if key != missing}
    with pytest.raises(ProfileError, match=f"add {missing}"):
        load_pixel_rules([rule])


@pytest.mark.parametrize(
    "where",
    [
        {"BurnedInAnnotation": "NO"},
        {"Manufacturer": "ACME", "Modality": "XA"},
    ],
)
def test_a_clean_rule_that_names_no_device_is_refused(where):
    with pytest.raises(ProfileError, match="one device and size"):
        load_pixel_rules([{**CLEAN, "where": where}])


def test_a_clean_rule_cannot_name_the_device_as_one_of_several_choices():
    signature = (
        '(Manufacturer.equals("A") + Modality.equals("XA")) * ManufacturerModelName.equals("B")'
    )
    rule = {**{k: v for k, v in CLEAN.items() if k != "where"}, "signature": signature}
    with pytest.raises(ProfileError, match="add Manufacturer"):
        load_pixel_rules([rule])
