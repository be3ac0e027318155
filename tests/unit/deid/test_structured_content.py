# SPDX-License-Identifier: GPL-3.0-or-later
"""Structured reports keep their findings and their shape, and lose who they are about."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from orthanc_deid.content_items import concepts
from orthanc_deid.engine import Engine
from orthanc_deid.profile import load_profile

from .documents import FINDING, LENGTH, code, item, key_objects, measured, reference, report
from .instances import KEYS, deidentify, encode, read

ACCESSION = ("121022", "DCM", "Accession Number")
OBSERVER = ("121008", "DCM", "Person Observer Name")
COMPONENT = ("112347", "DCM", "Component ID")
AGE = ("121033", "DCM", "Subject Age")
DEVICE = ("121013", "DCM", "Device Observer Name")
STABLE = ("retain_uids", "retain_full_dates", "clean_descriptors", "clean_structured_content")


@cache
def engine(*options: str) -> Engine:
    given_options = options or ("clean_structured_content", "clean_descriptors")
    return Engine(load_profile({"name": "content", "options": list(given_options)}), KEYS)


def cleaned(*items: Dataset, options: tuple[str, ...] = (), **attributes: Any) -> list[Dataset]:
    """The items that are left of a report with these."""
    after = read(deidentify(encode(report(*items, **attributes)), engine(*options)).data)
    return list(after.get("ContentSequence", []))


def test_the_table_of_concepts_is_whole() -> None:
    listed = {(k, v) for k, types in concepts().items() for v in types}
    assert len([k for k, _ in listed if k.split()[0] not in ("SRT", "SNM3", "99SDM")]) == 211


def test_a_finding_keeps_its_medicine_and_loses_people() -> None:
    (found,) = cleaned(item("TEXT", FINDING, "Nodule 5 mm, seen by Dr. Brackenridge"))
    assert found.TextValue.startswith("Nodule 5 mm")
    assert "rackenridge" not in found.TextValue


def test_text_of_a_concept_that_the_table_does_not_list_is_cleaned() -> None:
    (found,) = cleaned(item("TEXT", ("77", "99LOCAL", "Nodule"), "left lung, Quillfeather"))
    assert found.TextValue == "left lung"


@pytest.mark.parametrize(
    ("name", "left"), [(ACCESSION, None), (COMPONENT, "REMOVED"), (OBSERVER, "REMOVED")]
)
def test_what_identifies_goes_with_its_item_or_leaves_a_dummy(name: Any, left: str | None) -> None:
    kind = "PNAME" if name is OBSERVER else "TEXT"
    kept = item("NUM", LENGTH, measured("12.5", "mm"))
    found = cleaned(item(kind, name, "Vossberg"), kept)
    assert [i.get("TextValue", i.get("PersonName", "12.5")) for i in found] == (
        ["12.5"] if left is None else [left, "12.5"]
    )


def test_a_descriptive_item_goes_without_clean_descriptors() -> None:
    comment = item("TEXT", ("121106", "DCM", "Comment"), "Nodule")
    assert cleaned(comment, options=("clean_structured_content",)) == []
    assert [found.TextValue for found in cleaned(comment)] == ["Nodule"]


def test_codes_of_an_older_snomed_fall_under_the_same_rule() -> None:
    site = item("TEXT", ("G-C0E3", "SRT", "Finding Site"), "left lung")
    (found,) = cleaned(site, options=("clean_structured_content",))
    assert found.TextValue == "REMOVED"


def test_a_listed_concept_of_another_value_type_is_no_way_around_the_table() -> None:
    assert cleaned(item("PNAME", ACCESSION, "Vossberg^Ulf")) == []


def test_a_coded_finding_stays() -> None:
    mass = code("4147007", "SCT", "Mass")
    (found,) = cleaned(item("CODE", FINDING, mass))
    assert found.ConceptCodeSequence[0] == mass


@pytest.mark.parametrize(
    ("number", "unit", "stays"),
    [("44", "a", True), ("94", "a", False), ("1000", "mo", True), ("1090", "mo", False)],
)
def test_an_age_is_told_below_ninety(number: str, unit: str, stays: bool) -> None:
    options = ("clean_structured_content", "retain_patient_characteristics")
    found = cleaned(item("NUM", AGE, measured(number, unit)), options=options)
    assert bool(found) is stays
    assert cleaned(item("NUM", AGE, measured(number, unit))) == []


def test_a_device_stays_where_the_profile_retains_devices() -> None:
    device = item("TEXT", DEVICE, "Aurora 7")
    options = ("clean_structured_content", "retain_device_identity")
    assert cleaned(device, options=options)[0].TextValue == "Aurora 7"
    assert cleaned(device) == []


@pytest.mark.parametrize("kind", ["CODE", "DATE", "NUM", "PNAME", "UIDREF", ""])
@pytest.mark.parametrize("name", [FINDING, DEVICE, ("121032", "DCM", "Subject Sex")])
def test_text_in_an_item_of_another_value_type_is_cleaned_all_the_same(
    name: Any, kind: str
) -> None:
    odd = item("TEXT", name, "left lung, Vossberg")
    odd.ValueType = kind
    every = ("clean_structured_content", "clean_descriptors", "retain_patient_characteristics")
    found = cleaned(odd, options=every)
    assert "Vossberg" not in str(found)


def test_text_in_another_representation_than_the_standards_does_no_harm() -> None:
    odd = item("TEXT", FINDING, "")
    odd.add_new(0x0040A160, "OB", b"left lung ")
    (found,) = cleaned(odd)
    assert found[0x0040A160].value == b"left lung "


def test_dates_move_like_all_others() -> None:
    start = item("DATETIME", ("113809", "DCM", "Start"), "20240102101112")
    options = ("clean_structured_content", "retain_modified_dates")
    assert cleaned(start, options=options)[0].DateTime == "20230924101112"
    assert cleaned(start)[0].DateTime == "19000101000000"


def test_a_local_concept_name_is_cleaned_and_a_public_one_is_not() -> None:
    local = item("TEXT", ("V-1", "99LOCAL", "Nodule, Vossberg"), "left lung")
    public = item("CODE", FINDING, code("4147007", "SCT", "Mass"))
    first, second = cleaned(local, public)
    assert first.ConceptNameCodeSequence[0].CodeMeaning == "Nodule"
    assert second.ConceptNameCodeSequence[0].CodeMeaning == "Finding"


def test_the_title_of_the_document_is_cleaned() -> None:
    made = report(item("CODE", FINDING, code("4147007", "SCT", "Mass")))
    made.ConceptNameCodeSequence = [code("V-1", "99LOCAL", "Report for Vossberg")]
    after = read(deidentify(encode(made), engine()).data)
    assert "Vossberg" not in str(after)
    assert after.ConceptNameCodeSequence[0].CodeMeaning


def test_items_stay_in_place_where_others_refer_to_them_by_position() -> None:
    inferred = item("TEXT", FINDING, "Nodule")
    pointer = Dataset()
    pointer.RelationshipType, pointer.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 2]
    inferred.ContentSequence = [pointer]
    found = cleaned(
        item("TEXT", ACCESSION, "ACC-77120"),
        item("NUM", AGE, measured("44", "a")),
        item("CODE", ("121032", "DCM", "Subject Sex"), code("F", "DCM", "Female")),
        inferred,
    )
    assert len(found) == 4
    assert found[0].TextValue == "REMOVED"
    assert len(found[1].MeasuredValueSequence) == 0
    assert found[2].ConceptCodeSequence[0].CodeValue == "REMOVED"
    assert found[3].ContentSequence[0].ReferencedContentItemIdentifier == [1, 2]


def test_a_container_of_which_nothing_is_left_has_no_content_sequence() -> None:
    container = item("CONTAINER", FINDING, None, item("TEXT", ACCESSION, "ACC-77120"))
    (found,) = cleaned(container)
    assert "ContentSequence" not in found


def test_the_acquisition_context_is_treated_item_by_item() -> None:
    context = [
        item("TEXT", ("109054", "DCM", "Patient State"), "at rest, Quillfeather"),
        item("TEXT", ("125010", "DCM", "Identifier"), "Q-77"),
    ]
    made = report(item("TEXT", FINDING, "Nodule"), AcquisitionContextSequence=context)
    after = read(deidentify(encode(made), engine()).data).AcquisitionContextSequence
    assert [found.TextValue for found in after] == ["at rest"]


def test_without_the_option_the_basic_profile_leaves_dummies() -> None:
    (found,) = cleaned(item("TEXT", FINDING, "Nodule"), options=("clean_descriptors",))
    assert found.TextValue == "REMOVED"


def test_key_objects_keep_their_references() -> None:
    made = key_objects(item("IMAGE", None, reference()))
    output = deidentify(encode(made), engine())
    after = read(output.data)
    new = after.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert new == output.uid_mapping["1.2.826.0.1.77"]
    evidence = after.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == new


NAMES = ("Quillfeather", "Ottoline", "Brackenridge")
TEXTS = st.lists(
    st.sampled_from([*NAMES, "nodule", "left lung", "12 mm", "seen by Dr.", "1960-04-17", "ok"]),
    min_size=1,
    max_size=5,
).map(" ".join)
CONCEPTS = st.one_of(
    st.none(),
    st.sampled_from([FINDING, ACCESSION, OBSERVER, COMPONENT, DEVICE, LENGTH]),
    TEXTS.map(lambda text: ("V-1", "99LOCAL", text[:64])),
)
LEAVES = st.one_of(
    st.builds(item, st.just("TEXT"), CONCEPTS, TEXTS),
    st.builds(item, st.just("PNAME"), CONCEPTS, st.sampled_from(["Quillfeather^Ottoline", "X^Y"])),
    st.builds(item, st.just("UIDREF"), CONCEPTS, st.just("1.2.826.0.1.9")),
    st.builds(item, st.just("DATE"), CONCEPTS, st.just("19600417")),
    st.builds(item, st.just("TIME"), CONCEPTS, st.just("101112")),
    st.builds(item, st.just("DATETIME"), CONCEPTS, st.just("20240102101112")),
    st.builds(
        item,
        st.just("CODE"),
        CONCEPTS,
        TEXTS.map(lambda text: code(text[:16], "99LOCAL", text[:64])),
    ),
    st.builds(item, st.just("NUM"), CONCEPTS, st.just(measured("12.5", "mm"))),
    st.builds(item, st.just("IMAGE"), CONCEPTS, st.just(reference())),
)


def container(name: Any, children: list[Dataset]) -> Dataset:
    return item("CONTAINER", name, None, *children)


TREES = st.lists(
    st.recursive(
        LEAVES,
        lambda inner: st.builds(container, CONCEPTS, st.lists(inner, max_size=3)),
        max_leaves=6,
    ),
    min_size=1,
    max_size=4,
)


def shape(items: Any) -> list[Any]:
    """Value types as a tree; items of the concepts that always go are left out."""
    found = []
    for one in items:
        names = one.get("ConceptNameCodeSequence", [])
        if not {n.CodeValue for n in names} & {ACCESSION[0], DEVICE[0]}:
            found.append((one.ValueType, shape(one.get("ContentSequence", []))))
    return found


@settings(max_examples=60, deadline=None)
@given(
    TREES,
    st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]),
)
def test_no_tree_tells_a_name_and_each_keeps_its_shape(items: list[Dataset], syntax: str) -> None:
    before = report(*items)
    once = deidentify(encode(before, syntax), engine(*STABLE))
    after = read(once.data)
    told = str(after).lower() + str(once.record.to_dict()).lower()
    assert not [name for name in NAMES if name.lower() in told]
    assert shape(after.get("ContentSequence", [])) == shape(before.ContentSequence)
    twice = deidentify(once.data, engine(*STABLE))
    assert read(twice.data).get("ContentSequence") == after.get("ContentSequence")


def errors(path: Path, data: bytes) -> list[str]:
    path.write_bytes(data)
    run = subprocess.run(
        [str(shutil.which("dciodvfy")), "-new", path], capture_output=True, check=False
    )
    return sorted(e for e in run.stderr.decode("latin-1").splitlines() if e.startswith("Error"))


@pytest.mark.parametrize("profile", ["basic", "research"])
@pytest.mark.parametrize("kind", ["report", "key objects"])
def test_the_validator_finds_no_new_error(kind: str, profile: str, tmp_path: Path) -> None:
    items = [
        item("TEXT", FINDING, "Nodule, Vossberg"),
        item("TEXT", ("V-1", "99LOCAL", "Vossberg"), "Vossberg"),
        item("PNAME", OBSERVER, "Vossberg^Ulf"),
        item("CONTAINER", FINDING, None, item("TEXT", ACCESSION, "ACC-77120")),
        item("CODE", FINDING, code("V-2", "99LOCAL", "Vossberg")),
        item("NUM", LENGTH, measured("12.5", "mm")),
    ]
    description = item("TEXT", ("113012", "DCM", "Key Object Description"), "best, Vossberg")
    picture = item("IMAGE", None, reference())
    made = report(*items) if kind == "report" else key_objects(description, picture)
    data = encode(made)
    after = deidentify(data, Engine(load_profile(profile), KEYS)).data
    assert b"Vossberg" not in after
    assert set(errors(tmp_path / "out", after)) <= set(errors(tmp_path / "in", data))
