"""A template and an instance's metadata give one safe path."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disk_tree import (
    DEFAULT_PSEUDONYM,
    DEFAULT_TEMPLATE,
    LEVELS,
    TemplateError,
    dominant_modality,
    main,
    parse_template,
    safe_component,
)

TAGS = {
    "PatientName": "DEMO^ID000123^^^",
    "PatientID": "DEMO_ID000123",
    "StudyDate": "20240102",
    "StudyTime": "101112.500",
    "Modality": "CT",
    "SeriesNumber": "3",
    "SeriesDescription": "Axial 5mm",
    "InstanceNumber": "12",
    "SOPInstanceUID": "2.25.99",
}
DEFAULT = parse_template(DEFAULT_TEMPLATE, DEFAULT_PSEUDONYM)


def path(template: str = DEFAULT_TEMPLATE, **tags: str) -> str:
    return "/".join(parse_template(template, DEFAULT_PSEUDONYM).path({**TAGS, **tags}).parts)


def test_the_default_template_names_subject_study_series_and_instance() -> None:
    assert path() == (
        "101_150/123/DEMO/20240102101112CT/DicomData/s000003 Axial 5mm/i000012_2.25.99.dcm"
    )


@pytest.mark.parametrize(
    ("number", "block"),
    [(1, "1_50"), (50, "1_50"), (51, "51_100"), (1000, "951_1000"), (999999, "999951_1000000")],
)
def test_fifty_subjects_share_a_block(number: int, block: str) -> None:
    assert path(PatientName=f"DEMO^ID{number:06d}^^^").startswith(f"{block}/{number}/DEMO/")


def test_a_modifier_after_the_number_does_not_make_another_subject() -> None:
    assert path(PatientName="DEMO^ID000007s_2d^^^") == path(PatientName="DEMO^ID000007^^^")


@pytest.mark.parametrize("name", ["", "Doe^Jane", "DEMO^ID000000^^^", "^ID000007", "X^ID7^Jane"])
def test_a_study_without_our_pseudonym_goes_under_unassigned(name: str) -> None:
    assert path(PatientName=name) == (
        "unassigned/DEMO_ID000123/20240102101112CT/DicomData/s000003 Axial 5mm/i000012_2.25.99.dcm"
    )


def test_the_pseudonym_pattern_can_be_set() -> None:
    template = parse_template(
        "<number:4>/<base>/<SOPInstanceUID>", r"(?P<number>\d+)-(?P<base>\w+)"
    )
    assert template.path({**TAGS, "PatientName": "17-IRB"}).parts == ("0017", "IRB", "2.25.99")


def test_what_is_missing_has_a_substitute() -> None:
    template = parse_template(
        "<PatientID>/<StudyDate><StudyTime><Modality>/<StudyDescription>/"
        "s<SeriesNumber:6> <SeriesDescription>/<InstanceNumber>_<SOPInstanceUID>.dcm",
        DEFAULT_PSEUDONYM,
    )
    assert template.path({"SOPInstanceUID": "2.25.1"}).parts == (
        "unassigned",
        "no-PatientID",
        "no-PatientID",
        "00000000000000OT",
        "no-StudyDescription",
        "s000000",
        "0_2.25.1.dcm",
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [("10", "100000"), ("1011", "101100"), ("10:11:12", "101112"), ("101112.999999", "101112")],
)
def test_times_have_six_digits(value: str, written: str) -> None:
    assert f"/20240102{written}CT/" in path(StudyTime=value)


@pytest.mark.parametrize(
    ("value", "written"), [(" 3 ", "s000003"), ("+3", "s000003"), ("-1", "s-00001")]
)
def test_numbers_are_padded(value: str, written: str) -> None:
    assert f"/{written} Axial" in path(SeriesNumber=value)


def test_the_study_takes_the_modality_of_most_of_its_images() -> None:
    assert dominant_modality([("SR", 900), ("PT", 200), ("CT", 201), ("CT", 1)]) == "CT"
    assert dominant_modality([("SR", 2), ("KO", 1)]) == "SR"
    assert dominant_modality([("PT", 5), ("CT", 5), ("", 9)]) == "CT"
    assert dominant_modality([]) == ""


def test_two_long_descriptions_stay_two_folders() -> None:
    made = {path(SeriesDescription="é" * 300 + end) for end in "ab"}
    assert len(made) == 2


TEXT = st.text(st.characters(exclude_categories=[]), max_size=400)


@given(TEXT)
def test_every_component_is_safe(text: str) -> None:
    made = safe_component(text, "no-Value")
    assert 1 <= len(made.encode()) <= 200
    assert made not in {".", ".."}
    assert not set(made) & set('/\\<>:"|?*\0')
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in made)
    assert made[0] not in ". -~"
    assert made[-1] not in " ."
    assert unicodedata.is_normalized("NFC", made)
    assert safe_component(made, "no-Value") == made


@given(st.fixed_dictionaries(dict.fromkeys(LEVELS, TEXT)), TEXT)
def test_no_values_make_a_path_that_leaves_the_tree_or_is_too_long(
    values: dict[str, str], name: str
) -> None:
    everything = "/".join(
        f"a<{keyword}>" for keyword in ("base", "number", "lo", "hi", "PatientID", "StudyDate")
    )
    for text in (DEFAULT_TEMPLATE, f"{everything}/<SeriesDescription>/<SOPInstanceUID>.dcm"):
        template = parse_template(text, "(?P<base>.*)(?P<number>.*)")
        parts = template.path({**values, "PatientName": name}).parts
        assert len("/".join(parts).encode()) <= 1000
        assert all(part and part not in {".", ".."} and "/" not in part for part in parts)


@given(TEXT, TEXT)
def test_two_instances_never_share_a_file(one: str, two: str) -> None:
    if one.strip(" \0") != two.strip(" \0"):
        assert path(SOPInstanceUID=one) != path(SOPInstanceUID=two)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("<lo>/<seriesnumbr>/<SOPInstanceUID>", "did you mean <SeriesNumber>?"),
        ("<lo>/<zzz>/<SOPInstanceUID>", "known are base"),
        ("<lo>/<StudyDate:8>/<SOPInstanceUID>", "write <StudyDate>"),
        ("<number:x>/<SOPInstanceUID>", "as in <number:6>"),
        ("/<lo>/<SOPInstanceUID>", "component 1 ''"),
        ("<lo>//<SOPInstanceUID>", "component 2 ''"),
        ("<lo>/../<SOPInstanceUID>", "must not start with '.'"),
        ("<lo>/a /<SOPInstanceUID>", "must not end with ' '"),
        ("<lo>/a\\b/<SOPInstanceUID>", "no file name may hold"),
        ("<lo>/a\nb/<SOPInstanceUID>", "no file name may hold"),
        ("<lo>/<number/<SOPInstanceUID>", "not written as <Keyword>"),
        ("<lo>/i<InstanceNumber>.dcm", "lacks <SOPInstanceUID>"),
        ("<SOPInstanceUID>.dcm", "has 1 components"),
        ("/".join(["a"] * 12) + "/<SOPInstanceUID>", "has 13 components"),
        ("<SeriesNumber>/<StudyDate>/<SOPInstanceUID>", "put the subject first"),
        ("unassigned/<SOPInstanceUID>", "choose another"),
        ("DicomData/DicomData/<SOPInstanceUID>", "stands twice"),
    ],
)
def test_a_wrong_template_is_explained(template: str, problem: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(problem)):
        parse_template(template, DEFAULT_PSEUDONYM)


def test_the_command_tells_all_problems_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["--check-template", "<lo>/<StudyDat>/i.dcm", "--check-pseudonym", "(?P<base>"]
    assert main(wrong) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0:2] for line in lines] == [
        ["component", "2"],
        ["the", "file's"],
        ["the", "pseudonym"],
    ]
    assert main(["--check-template", DEFAULT_TEMPLATE]) == 0
    assert capsys.readouterr().out == ""
