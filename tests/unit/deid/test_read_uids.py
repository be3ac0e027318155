# SPDX-License-Identifier: GPL-3.0-or-later
"""The mapping of UIDs is read from the originals, and is the engine's."""

from __future__ import annotations

from pydicom.dataset import Dataset

from orthanc_deid.errors import Quarantine
from orthanc_deid.mapping import read_uids

from .instances import basic_engine, deidentify, instance, real_instances


def test_every_uid_that_the_engine_remaps_is_found_in_the_original() -> None:
    compared = 0
    for name, data in real_instances().items():
        try:
            remapped = set(deidentify(data).uid_mapping)
        except Quarantine:
            continue
        assert remapped <= read_uids(data), name
        compared += 1
    assert compared > 50


def test_uids_of_all_kinds_are_told_at_any_depth_and_those_of_classes_are_not() -> None:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = "1.2.826.0.9"
    original = instance(FrameOfReferenceUID="1.2.826.0.5", ReferencedImageSequence=[item])
    assert read_uids(original) == {
        "1.2.826.0.1.1",
        "1.2.826.0.1.2",
        "1.2.826.0.1.3",
        "1.2.826.0.5",
        "1.2.826.0.9",
    }


def test_the_new_uids_are_the_engines() -> None:
    original = instance(FrameOfReferenceUID="1.2.826.0.5")
    remapped = deidentify(original).uid_mapping
    assert {uid: basic_engine().map_uid(uid) for uid in remapped} == dict(remapped)
