# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of subject numbers: what they come to, and what is said of wrong ones."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthanc_deid.cli import main
from orthanc_deid.conditions import parse_conditions
from orthanc_deid.modifiers import modifier_of, parse_modifiers
from orthanc_deid.numbering import Numbering, PseudonymFormat, check_numbering, read_numbering
from orthanc_deid.settings_reader import Reader
from orthanc_deid.subject import Subject

COHORTS = [
    {"name": "breast", "first": 1, "last": 999, "where": [{"Modality": "MG"}]},
    {"name": "others", "first": 1000, "last": 9999},
]


def read(**settings: Any) -> Numbering:
    reader = Reader(settings)
    numbering = read_numbering(reader, "DEMO")
    assert reader.problems == []
    return numbering


def test_the_first_cohort_whose_conditions_hold_counts() -> None:
    numbering = read(numbering="cohort", cohorts=COHORTS)
    for modality, name in (("MG", "breast"), ("CT", "others")):
        cohort = numbering.cohort_of([{"Modality": modality}])
        assert cohort is not None
        assert cohort.name == name


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ([], True),
        ([{"StudyDescription": "breast"}], True),
        ([{"StudyDescription": "BREAST"}], True),
        ([{"StudyDescription": ["knee", "breast"]}], True),
        ([{"StudyDescription": "breast", "Modality": "CT"}], False),
        ([{"Modality": "CT"}, {"StudyDescription": "breast"}], True),
        ([{"StationName": "MG1"}], False),
    ],
)
def test_a_condition_holds_where_each_attribute_has_one_of_its_words(
    conditions: list[dict[str, Any]], holds: bool
) -> None:
    parsed, problems = parse_conditions(conditions)
    assert problems == []
    assert parsed.hold([{}, {"StudyDescription": "MR Breast left", "Modality": "MR"}]) is holds


@given(
    base=st.from_regex(r"[A-Za-z0-9_]{1,32}", fullmatch=True),
    numbers=st.lists(st.integers(1, 2_147_483_647), min_size=2, max_size=2, unique=True),
    modifiers=st.lists(st.sampled_from(["", "s", "d_2d", "_x"]), min_size=2, max_size=2),
    width=st.sampled_from(["", ":d", ":06d", ":3", ":010d"]),
)
def test_two_subjects_never_have_the_same_pseudonym(
    base: str, numbers: list[int], modifiers: list[str], width: str
) -> None:
    formats = PseudonymFormat(f"{{base}}^{{number{width}}}", f"{{base}}-{{number{width}}}")
    one, other = (
        formats.write(base, number, modifier)
        for number, modifier in zip(numbers, modifiers, strict=True)
    )
    assert one[0] != other[0]
    assert one[1] != other[1]
    Subject(1, *one, -1)  # refuses what is no Patient ID or name


def test_a_modifier_follows_the_number() -> None:
    assert PseudonymFormat().write("DEMO", 5, "s_2d") == (
        "DEMO_ID000005s_2d",
        "DEMO^ID000005s_2d^^^",
    )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"base_name": "IRB 1"}, "base_name: must be 1 to 32 letters, digits or underscores"),
        ({"numbering": "cohort"}, "cohorts: is empty, but numbering is cohort"),
        ({"cohorts": COHORTS}, "cohorts: is not used while numbering is 'monotonic'"),
        (
            {"numbering": "cohort", "cohorts": [{"name": "a", "first": 9, "last": 1}]},
            "cohorts[0].last: is 1, before the first number 9",
        ),
        (
            {"numbering": "cohort", "cohorts": [COHORTS[0], {**COHORTS[1], "first": 999}]},
            "cohorts: the numbers of 'breast' (1 to 999) and 'others' (999 to 9999) overlap",
        ),
        (
            {"numbering": "cohort", "cohorts": [COHORTS[1], COHORTS[0]]},
            "cohorts: 'others' asks for nothing, so nobody comes to those after it",
        ),
        (
            {"numbering": "cohort", "cohorts": [{**COHORTS[0], "where": [{"Modalty": "MG"}]}]},
            "cohorts[0].where: 'Modalty' is no keyword of DICOM; the nearest is Modality",
        ),
        ({"pseudonym": {"patient_id": "X"}}, "pseudonym.patient_id: is 'X': without {number}"),
        ({"pseudonym": {"patient_id": "{mrn}{number}"}}, "{mrn} is no field"),
        ({"pseudonym": {"patient_id": "{number.real}"}}, "{number.real} is no field"),
        ({"pseudonym": {"patient_id": "{number:x}"}}, "'x' is no width of number"),
        ({"pseudonym": {"patient_id": "{number"}}, "pseudonym.patient_id: is '{number'"),
        ({"pseudonym": {"patient_id": "é{number}"}}, "use printable ASCII characters"),
        ({"pseudonym": {"patient_name": "a^b^c^d^e^{number}"}}, "at most five components"),
        ({"pseudonym": {"patient_id": "x" * 40 + "{number}"}}, "longer than 48 characters"),
        (
            {"subject_per": "study"},
            "subject_per: must be one of patient, accession, modifier, not 'study'",
        ),
        ({"unlisted": "drop"}, "unlisted: must be one of number, wait, not 'drop'"),
        ({"issuer": "A\\B"}, "issuer: must have at most 64 characters and no backslash"),
    ],
)
def test_what_is_wrong_is_told_with_its_key_and_the_fix(
    settings: dict[str, Any], problem: str
) -> None:
    assert problem in "\n".join(check_numbering({"base_name": "DEMO", **settings}))


def test_the_command_tells_all_problems_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(numbering: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(f'{{"numbering": {numbering}}}'))
        return main(["settings", "check"])

    assert check('{"base_name": "DEMO"}') == 0
    assert check('{"base_name": "", "numbering": "cohort"}') == 1
    assert capsys.readouterr().err.splitlines() == [
        "orthanc-deid: base_name: must not be empty",
        "orthanc-deid: cohorts: is empty, but numbering is cohort; name the cohorts",
    ]


def test_modifiers_are_joined_in_their_order() -> None:
    problems: list[str] = []
    modifiers = parse_modifiers(
        [
            {"where": [{"StudyDescription": "screen"}], "modifier": "s", "otherwise": "d"},
            {"where": [{"SeriesDescription": ["tomo", "c-view"]}], "modifier": "_n2d"},
        ],
        problems,
    )
    assert problems == []
    screening, tomo = {"StudyDescription": "Screening"}, {"SeriesDescription": "L CC C-View"}
    assert modifier_of(modifiers, [screening, tomo]) == "s_n2d"
    assert modifier_of(modifiers, [{}]) == "d"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"modifier": "2d", "where": [{"Modality": "MG"}]}, "no digit first"),
        ({"modifier": "s"}, "number_modifiers[0].where is missing"),
        ({"modifier": "s", "where": [{"Modality": 5}]}, "must be a word or a list of words"),
        ({"modifier": "s", "when": [], "where": [{"Modality": "MG"}]}, "'when' is none of"),
        ({"modifier": "s" * 17, "where": [{"Modality": "MG"}]}, "more than 16 characters"),
    ],
)
def test_wrong_modifiers_are_refused(rule: dict[str, Any], problem: str) -> None:
    problems: list[str] = []
    parse_modifiers([rule], problems)
    assert problem in "\n".join(problems)
