# SPDX-License-Identifier: GPL-3.0-or-later
"""Text cleaning takes out what identifies and leaves what is medicine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orthanc_deid.text import VR_LENGTH, TextCleaner
from orthanc_deid.text_known import Known
from orthanc_deid.text_tokens import fold, tokens_of
from orthanc_deid.vocabulary import Level, vocabulary

STUDY = [
    (0x00100010, "PN", "Smith^John^Andrew"),
    (0x00101001, "PN", "Kowalczyk^Jon"),
    (0x00100030, "DA", "19510314"),
    (0x00100020, "LO", "MRN4488213"),
    (0x00080050, "SH", "RAD-77120"),
    (0x00101040, "LO", "12 Orchard Lane, Springfield, IL 62704"),
    (0x00102154, "SH", "217-555-0143"),
    (0x00080090, "PN", "Brown^Mary"),
    (0x00081070, "PN", "Young^T"),
    (0x00080080, "LO", "Nowhere Memorial Hospital"),
    (0x00081040, "LO", "Dept of Imaging West"),
    (0x00080020, "DA", "20201203"),
]
CLEANER = TextCleaner(Known.collect(STUDY))
WORDS = sorted((vocabulary().terms | vocabulary().words) - vocabulary().surnames)


def examples() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in (Path(__file__).parent / "text_examples.txt").read_text("utf-8").splitlines():
        if line == "[kept]":
            cut = False
        elif line == "[cut]":
            cut = True
        elif line and not line.startswith("#"):
            before, _, after = line.partition(" =>")
            found.append((before, after.strip()) if cut else (line, line))
    return found


@pytest.mark.parametrize(("before", "after"), examples(), ids=lambda text: text or "nothing")
def test_each_example_comes_out_as_a_reader_would_expect(before: str, after: str) -> None:
    assert CLEANER.clean(before, "LT").text == after


def clean(
    text: str, *study: tuple[int, str, str], vr: str = "LT", offset: int | None = None
) -> str:
    return TextCleaner(Known.collect(study), offset).clean(text, vr).text


def named(name: str) -> tuple[int, str, str]:
    return (0x00100010, "PN", name)


@pytest.mark.parametrize("name", ["Head^John", "Hand^Ann", "Chest^J", "Left^Amy"])
@pytest.mark.parametrize("text", ["HEAD W/O", "LEFT HAND AP", "Chest PA", "HEAD L"])
def test_a_term_that_is_also_the_patients_surname_stays_in_a_descriptor(
    name: str, text: str
) -> None:
    assert clean(text, named(name)) == text


@pytest.mark.parametrize(
    "text", ["John Head", "HEAD^JOHN", "head, john", "Head, J.", "J. Head", "Mr. Head", "JohnHead"]
)
def test_the_same_surname_goes_where_the_context_makes_it_a_name(text: str) -> None:
    assert clean(text, named("Head^John")) == ""


@pytest.mark.parametrize("name", ["Young", "Gray", "Field", "Sharp", "Brown", "Gamma", "Paris"])
def test_an_everyday_word_goes_where_it_is_the_patients_name(name: str) -> None:
    assert clean(f"CT HEAD {name}", named(f"{name}^Eve")) == "CT HEAD"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Gamma^Eve", "Gamma Knife"),
        ("Young^Eve", "young adult"),
        ("Gray^Eve", "gray matter"),
        ("Field^Eve", "field of view"),
        ("Brown^Eve", "brown fat"),
        ("Sharp^Eve", "sharp kernel"),
    ],
)
def test_it_stays_in_a_fixed_phrase(name: str, text: str) -> None:
    assert clean(text, named(name)) == text


def test_a_name_that_is_no_word_of_its_own_goes_even_there() -> None:
    assert clean("plaster of Paris", named("Doe^Eve")) == "plaster of Paris"
    assert clean("plaster of Paris", named("Paris^Eve")) == "plaster of"


def test_names_in_other_scripts_and_accents_are_the_same_name() -> None:
    yamada = named("Yamada^Tarou=山田^太郎=やまだ^たろう")
    assert clean("頭部CT 山田太郎", yamada) == "頭部CT"
    assert clean("手塚CT", named("Tezuka=手塚")) == "CT"
    assert clean("胸部CT やまだ たろう", yamada) == "胸部CT"
    assert clean("흉부 CT 홍 길동", named("Hong=홍^길동")) == "흉부 CT"
    assert clean("knee MÜLLER", named("Muller^Eva")) == "knee"
    assert clean("knee Mueller", named("Müller^Eva")) == "knee"
    assert clean("CT رأس كوهين", named("כהן^דוד=كوهين")) == "CT رأس"


def test_dates_move_in_the_spelling_they_have() -> None:
    study = (0x00080020, "DA", "20201203")
    for text, moved in [
        ("Chest 20201203", "Chest 20201213"),
        ("Chest 2020-12-03 10:15", "Chest 2020-12-13 10:15"),
        ("Chest 12/3/2020", "Chest 12/13/2020"),
        ("Chest 3.12.20", "Chest 13.12.20"),
        ("Chest 25-DEC-2020", "Chest 04-JAN-2021"),
        ("Chest 3 décembre 2020", "Chest 13 décembre 2020"),
        ("Chest Thursday, December 3, 2020", "Chest December 13, 2020"),
        ("胸部 2020年12月3日", "胸部 2020年12月13日"),
        ("Chest 20201203101500", "Chest 20201213101500"),
    ]:
        assert clean(text, study, offset=10) == moved


def test_a_date_whose_order_cannot_be_told_is_cut_and_not_moved() -> None:
    assert clean("Chest 04/05/2019 stable", offset=10) == "Chest stable"
    assert (
        clean("Chest 04/05/2019", (0x00080020, "DA", "20190405"), offset=10) == "Chest 04/15/2019"
    )


@pytest.mark.parametrize(
    "text", ["19510314", "03/14/1951", "14.03.51", "March 14, 1951", "14 Mar 1951"]
)
def test_the_birth_date_is_cut_even_where_dates_move(text: str) -> None:
    assert clean(f"male {text}", (0x00100030, "DA", "19510314"), offset=10) == "male"


def test_findings_say_what_and_where_and_never_the_value() -> None:
    cleaned = CLEANER.clean("CT Head for John Smith 12/3/2020", "LT")
    assert [(f.place, f.action) for f in cleaned.findings] == [("end", "cut")]
    assert not any("smith" in field.lower() for f in cleaned.findings for field in f)


def test_what_needs_no_cleaning_keeps_its_padding_and_spacing() -> None:
    text = " AX  T2   FLAIR "
    assert CLEANER.clean(text, "LO") == (text, ())


def test_each_of_several_values_is_cleaned_for_itself_and_none_is_dropped() -> None:
    assert CLEANER.clean("Smith\\CT Head\\John", "LO").text == "\\CT Head\\"
    assert CLEANER.clean("CT\\Head", "LT").text == "CT\\Head"


@pytest.mark.parametrize(("vr", "limit"), [("SH", 16), ("LO", 64), ("ST", 1024), ("LT", 10240)])
def test_the_result_keeps_to_the_length_of_its_vr(vr: str, limit: int) -> None:
    assert len(CLEANER.clean("chest " * 3000, vr).text) <= limit
    assert len(clean("MR 2 May 2020 ap", vr="SH", offset=140)) <= 16


@pytest.mark.parametrize("vr", ["PN", "DA", "UI", "CS", "OB", ""])
def test_other_vrs_are_refused(vr: str) -> None:
    with pytest.raises(ValueError, match="text cleaning takes"):
        CLEANER.clean("x", vr)


def test_short_study_ids_do_not_destroy_numbers() -> None:
    assert clean("SE 12 of 512x512", (0x00200010, "SH", "12")) == "SE 12 of 512x512"
    assert clean("ID: 12 knee", (0x00200010, "SH", "12")) == "knee"


NAMES = st.text("abcdefghijklmnopqrstuvwxyzäöüéñøłß", min_size=5, max_size=12).filter(
    lambda name: vocabulary().level(fold(name)) == Level.UNKNOWN
)
Case = Callable[[str], str]
CASES = st.sampled_from([str.upper, str.lower, str.title, str])
BETWEEN = st.sampled_from([" ", ", ", "^", "_", "-", ".", "  ", "/", ""])
DESCRIPTOR = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)


@given(NAMES, NAMES, st.tuples(DESCRIPTOR, DESCRIPTOR), CASES, BETWEEN)
@settings(deadline=None)
def test_the_patients_name_is_never_left_in_any_order_case_or_separator(
    family: str, given_name: str, around: tuple[str, str], case: Case, between: str
) -> None:
    for parts in ((family, given_name), (given_name, family)):
        text = f"{around[0]} {case(between.join(parts))} {around[1]}"
        left = fold(clean(text, named(f"{family}^{given_name}")))
        rest = fold(" ".join(around))
        assert all(fold(part) not in left or fold(part) in rest for part in parts)


@given(
    st.text("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", min_size=5, max_size=14).filter(
        lambda number: any(c.isdigit() for c in number)
    ),
    DESCRIPTOR,
    st.sampled_from(["-", " ", "", ".", "/"]),
    st.integers(1, 4),
)
@settings(deadline=None)
def test_the_patient_id_is_never_left_however_it_is_grouped(
    number: str, words: str, separator: str, at: int
) -> None:
    text = f"{words} {number[:at]}{separator}{number[at:]}"
    left = "".join(t.norm for t in tokens_of(clean(text, (0x00100020, "LO", number))))
    assert number.lower() not in left


@given(st.lists(st.sampled_from(sorted(vocabulary().terms)), min_size=1, max_size=8))
@settings(deadline=None)
def test_medical_terms_alone_are_left_as_they_are(words: list[str]) -> None:
    text = " ".join(words)
    assert CLEANER.clean(text, "LT") == (text, ())


@given(st.dates(date(1900, 1, 1), date(2099, 1, 1)), st.integers(-4000, 4000).filter(bool))
@settings(deadline=None)
def test_an_unambiguous_date_moves_by_the_offset(day: date, offset: int) -> None:
    for spelling in ("%Y%m%d", "%Y-%m-%d", "%d %B %Y", "%d.%m.%Y"):
        moved = (day + timedelta(days=offset)).strftime(spelling)
        assert clean(f"Chest {day.strftime(spelling)}", offset=offset) == f"Chest {moved}"


FRAGMENTS = st.sampled_from(
    [
        *("Smith", "John", "CT", "head", "12/3/2020", "20201203", "Dr.", "by", "tech:", "MRN", ":"),
        *(
            "555-123-4567",
            "a@b.org",
            "(",
            ")",
            ",",
            ".",
            " ",
            "-",
            "_",
            "^",
            "\n",
            "1",
            "12",
            "Dec",
        ),
        *(
            "Main St",
            "Springfield, IL 62704",
            "山田",
            "頭部",
            "é",
            "\ue000",
            "x",
            "Young",
            "of",
            "'",
        ),
    ]
)


@given(st.lists(FRAGMENTS | st.characters(), max_size=30), st.sampled_from(sorted(VR_LENGTH)))
@settings(max_examples=300, deadline=None)
def test_cleaning_twice_is_cleaning_once(parts: list[str], vr: str) -> None:
    once = CLEANER.clean("".join(parts), vr).text
    assert CLEANER.clean(once, vr).text == once


@pytest.mark.parametrize(
    "seed",
    [
        *(
            "1",
            "a",
            "1.",
            "1-",
            "1 ",
            "a.",
            "a@",
            "12 a ",
            "Dr. ",
            "1 Main ",
            "0 12 ",
            "+1 ",
            "www.",
            "a,",
            "(",
        ),
        *(
            "Dec 1 ",
            "1/1/20 ",
            "Smith ",
            "Smith, J. ",
            "A-",
            "1:",
            "山",
            "rue de ",
            "\\",
            "Aa",
            "1a",
            " ",
            "-",
        ),
    ],
)
def test_no_text_however_made_takes_more_than_linear_time(seed: str) -> None:
    CLEANER.clean(seed * (100_000 // len(seed)), "UT")
