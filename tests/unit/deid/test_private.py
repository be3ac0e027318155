# SPDX-License-Identifier: GPL-3.0-or-later
"""Private elements stay only where a list or the site says so, and only with their creator."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from orthanc_deid.engine import Engine
from orthanc_deid.errors import ProfileError, Quarantine
from orthanc_deid.profile import load_profile

from .instances import KEYS, data_set, deidentify, encode, read

SAFE = {"options": ["retain_safe_private", "retain_modified_dates"]}
CREATOR = "SIEMENS MR HEADER"


def engine(profile: Mapping[str, object], **tag_actions: str) -> Engine:
    return Engine(load_profile(profile, {"tag_actions": tag_actions.get("actions", {})}), KEYS)  # type: ignore[arg-type]


def siemens() -> Dataset:
    made = data_set()
    block = made.private_block(0x0019, CREATOR, create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x0D, "CS", "DIRECTIONAL")
    block.add_new(0x55, "LO", "SECRET")
    other = made.private_block(0x0019, "UNHEARD OF", create=True)
    other.add_new(0x0C, "IS", "7")
    return made


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_safe_elements_stay_with_their_creator_and_the_others_go(syntax: str) -> None:
    output = deidentify(encode(siemens(), syntax), engine(SAFE))
    after = read(output.data)
    tags = [(element.tag.group, element.tag.element) for element in after if element.tag.is_private]
    assert tags == [(0x0019, 0x0010), (0x0019, 0x100C), (0x0019, 0x100D)]
    assert after[0x0019, 0x0010].value.strip() in (CREATOR, CREATOR.encode())
    assert b"SECRET" not in output.data
    assert b"UNHEARD" not in output.data
    codes = [item.CodeValue for item in after.DeidentificationMethodCodeSequence]
    assert "113111" in codes


def test_without_the_option_all_go() -> None:
    after = read(deidentify(encode(siemens())).data)
    assert not [element for element in after if element.tag.is_private]


def test_an_element_without_a_creator_goes() -> None:
    made = siemens()
    del made[0x0019, 0x0010]
    after = read(deidentify(encode(made), engine(SAFE)).data)
    assert not [element for element in after if element.tag.is_private]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_inside_a_safe_sequence_everything_has_its_own_rule(syntax: str) -> None:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.826.0.1.3"
    item.PersonName = "Brackenridge^Alma"
    item.SliceThickness = "2.5"
    inner = item.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
    inner.add_new(0x00, "LO", "SECRET")
    made = data_set()
    block = made.private_block(0x2001, "Philips Imaging DD 001", create=True)
    # The Stack Sequence: safe, and walked.
    block.add_new(0x5F, "SQ", [item])
    output = deidentify(encode(made, syntax), engine(SAFE))
    assert b"SECRET" not in output.data
    assert b"Brackenridge" not in output.data
    assert output.sop_instance_uid.encode() in output.data
    assert b"2.5 " in output.data


def test_uids_and_text_of_safe_elements_are_treated() -> None:
    made = data_set(PatientName="Quillfeather^Ottoline")
    block = made.private_block(0x0099, "NQHeader", create=True)
    block.add_new(0x01, "UI", "1.2.826.0.1.3")
    block.add_new(0x05, "LT", "left hippocampus, Quillfeather")
    output = deidentify(encode(made), engine(SAFE))
    after = read(output.data)
    assert after[0x0099, 0x1001].value == output.sop_instance_uid
    assert "left hippocampus" in after[0x0099, 0x1005].value


@pytest.mark.parametrize(
    ("action", "kept"),
    [
        ({'0019,"SIEMENS MR HEADER",55': "keep"}, {0x1055}),
        ({'0019,"SIEMENS MR HEADER",*': "keep"}, {0x100C, 0x100D, 0x1055}),
        ({'(0019,"*",*)': "keep"}, {0x100C, 0x100D, 0x1055, 0x110C}),
    ],
)
def test_the_site_keeps_elements_blocks_and_groups(
    action: Mapping[str, str], kept: set[int]
) -> None:
    engine = Engine(load_profile("basic", {"tag_actions": action}), KEYS)
    after = read(deidentify(encode(siemens()), engine).data)
    found = {e.tag.element for e in after if e.tag.is_private and e.tag.element > 0xFF}
    assert found == kept


def test_the_site_takes_out_what_a_list_would_keep() -> None:
    engine = Engine(
        load_profile(SAFE, {"tag_actions": {'0019,"SIEMENS MR HEADER",0C': "remove"}}), KEYS
    )
    after = read(deidentify(encode(siemens()), engine).data)
    assert (0x0019, 0x100C) not in after
    assert (0x0019, 0x100D) in after


def test_a_name_in_a_vendors_protocol_that_the_site_keeps_holds_the_study_back() -> None:
    made = data_set(PatientName="Quillfeather^Ottoline")
    block = made.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", bytes(9000) + b'tPatientName = "Quillfeather"' + bytes(9001))
    engine = Engine(
        load_profile("basic", {"tag_actions": {'0029,"SIEMENS CSA HEADER",*': "keep"}}), KEYS
    )
    with pytest.raises(Quarantine, match="0029,1010"):
        deidentify(encode(made), engine)


def test_the_list_of_the_curators_can_be_chosen() -> None:
    made = data_set()
    block = made.private_block(0x0009, "GEMS_GENIE_1", create=True)
    block.add_new(0x2E, "FD", 1.5)
    chosen = {**SAFE, "private_lists": ["standard", "tcia"]}
    assert (0x0009, 0x102E) in read(deidentify(encode(made), engine(chosen)).data)
    assert (0x0009, 0x102E) not in read(deidentify(encode(made), engine(SAFE)).data)


@pytest.mark.parametrize(
    "profile",
    [
        {"private_lists": ["tcia"]},
        {"options": ["retain_safe_private"], "private_lists": ["tciaa"]},
        {"tag_actions": {"0019,100C": "keep"}},
        {"tag_actions": {'0018,"X",0C': "keep"}},
    ],
)
def test_a_wrong_private_setting_is_refused(profile: Mapping[str, object]) -> None:
    with pytest.raises(ProfileError):
        load_profile(profile)
