# SPDX-License-Identifier: GPL-3.0-or-later
"""The last check: identifiers of the patient in what was kept hold the study back."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from orthanc_deid.engine import Engine
from orthanc_deid.errors import Quarantine
from orthanc_deid.identity import read_identity
from orthanc_deid.leaks import terms_of_numbers
from orthanc_deid.profile import load_profile

from .instances import KEYS, SUBJECT, basic_engine, deidentify, instance, read

NAME = "Quillfeather^Ottoline^Maud^Dr"


def is_held_back(**attributes: object) -> bool:
    try:
        deidentify(instance(**{"PatientName": NAME, **attributes}))
    except Quarantine as error:
        assert error.code == "leak"  # noqa: PT017
        return True
    return False


@pytest.mark.parametrize(
    "text",
    [
        "for Quillfeather",
        "QUILLFEATHER, OTTOLINE",
        "OttolineQuillfeather",
        "x_quillfeather_y",
        "PID-84213",
        "pid 84213",
        "born 14.03.1961",
        "1961-03-14",
        "ACC998877",
    ],
)
def test_an_identifier_in_a_kept_text_holds_the_study_back(text: str) -> None:
    assert is_held_back(Manufacturer=text, PatientBirthDate="19610314", AccessionNumber="ACC998877")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Philips^Jo", "Philips Medical Systems"),
        ("Head^MR", "MR of a HEAD"),
        ("Li^Wu", "Liver"),
        ("Quill^Ott", "Quilling"),
        ("Brown^A", "Axial"),
    ],
)
def test_a_name_that_is_also_a_word_of_the_trade_holds_nothing_back(name: str, kept: str) -> None:
    assert not is_held_back(PatientName=name, Manufacturer=kept)


def test_two_such_words_side_by_side_do() -> None:
    assert is_held_back(PatientName="Head^Philips", Manufacturer="for Philips Head")


def test_names_of_physicians_and_in_removed_sequences_count() -> None:
    item = Dataset()
    item.PersonName = "Brackenridge^Alma"
    assert is_held_back(OperatorsName="Brackenridge^Alma", Manufacturer="Brackenridge")
    assert is_held_back(
        ReferringPhysicianIdentificationSequence=[item], Manufacturer="Brackenridge"
    )


@pytest.mark.parametrize(
    ("charset", "name", "kept"),
    [
        ("ISO_IR 192", "Müßig^Jörg", "Gerät von MÜSSIG"),
        ("ISO_IR 100", "Müßig^Jörg", "Geraet von Müßig"),
        ("ISO_IR 144", "Жданов^Илья", "ЖДАНОВ"),
        ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう", "山田"),
        ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう", "tarou yamada"),
    ],
)
def test_names_are_found_in_every_script(charset: str, name: str, kept: str) -> None:
    assert is_held_back(SpecificCharacterSet=charset, PatientName=name, Manufacturer=kept)


def test_identifiers_of_other_instances_of_the_study_count() -> None:
    data = instance(Manufacturer="Brackenridge Inc")
    other = read_identity(instance(PatientName="Brackenridge^Alma")).identifiers
    basic_engine().deidentify(data, SUBJECT, read_identity(data).identifiers)
    with pytest.raises(Quarantine, match="0008,0070"):
        basic_engine().deidentify(data, SUBJECT, other)


def test_former_numbers_of_the_patient_count() -> None:
    former = terms_of_numbers(["OLD-77123", "7"])
    with pytest.raises(Quarantine, match="0008,0070"):
        basic_engine().deidentify(instance(Manufacturer="for old77123"), SUBJECT, former)
    basic_engine().deidentify(instance(Manufacturer="Model 7"), SUBJECT, former)


def test_what_the_engine_wrote_itself_is_no_leak() -> None:
    terms = frozenset({"demo", "demo id 000007"})
    basic_engine().deidentify(instance(PatientName="Demo^X", PatientID="A"), SUBJECT, terms)


def test_a_text_in_which_cleaning_leaves_an_identifier_goes_as_a_whole() -> None:
    data = instance(StudyDescription="CT of somebody in 77 123", PatientID="X-1")
    output = Engine(load_profile("research"), KEYS).deidentify(data, SUBJECT, frozenset({"77 123"}))
    assert not read(output.data).get("StudyDescription")
    assert output.record.cleaned["0008,1030", "identifier"] == 1
