# SPDX-License-Identifier: GPL-3.0-or-later
"""What attributes do not describe waits for a person, is left out, or passes by choice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from orthanc_deid.cli import main
from orthanc_deid.engine import Engine
from orthanc_deid.errors import Dropped, ProfileError, Quarantine
from orthanc_deid.faces import refuse_faces
from orthanc_deid.object_kinds import kind_of
from orthanc_deid.profile import load_profile

from .documents import code
from .instances import KEYS, deidentify, instance, read

STORAGE = "1.2.840.10008.5.1.4.1.1."
PDF = f"{STORAGE}104.1"
WHOLE_SLIDE = f"{STORAGE}77.1.6"
DOCUMENT = b"%PDF-1.7 of Ottoline, who is not found in here "


@cache
def engine(documents: str = "quarantine", *options: str) -> Engine:
    content = {"name": "kinds", "documents": documents, "options": list(options)}
    return Engine(load_profile(content), KEYS)


def outcome(data: bytes, how: Engine) -> str:
    """What happens to an instance: `passed`, `dropped CODE` or `quarantined CODE`."""
    try:
        deidentify(data, how)
    except Dropped as error:
        return f"dropped {error.code}"
    except Quarantine as error:
        return f"quarantined {error.code}"
    return "passed"


@pytest.mark.parametrize(
    ("sop_class", "kind"),
    [(f"{STORAGE}104.{number}", "document") for number in range(1, 6)]
    + [(f"{STORAGE}66", "raw-data"), (f"{STORAGE}9.4.1", "audio")]
    + [("1.3.12.2.1107.5.9.1", "unknown-sop-class"), ("1.2.840.10008.1.1", "unknown-sop-class")],
)
@pytest.mark.parametrize(
    ("documents", "told"), [("quarantine", "quarantined {}"), ("drop", "dropped {}")]
)
def test_what_cannot_be_read_is_held_back_or_dropped(
    sop_class: str, kind: str, documents: str, told: str
) -> None:
    data = instance(SOPClassUID=sop_class)
    assert outcome(data, engine(documents)) == told.format(kind)
    assert outcome(data, engine("pass")) == "passed"


@pytest.mark.parametrize("number", ["2", "4", "20", "88.11", "88.33", "88.59", "481.3", "66.4"])
def test_images_reports_and_structures_are_no_documents(number: str) -> None:
    assert kind_of(STORAGE + number) is None


def test_a_document_that_passes_is_left_as_it_is_and_recorded() -> None:
    data = instance(
        SOPClassUID=PDF,
        EncapsulatedDocument=DOCUMENT * 200,
        MIMETypeOfEncapsulatedDocument="application/pdf",
        InstitutionName="Quarrystone Clinic",
    )
    output = deidentify(data, engine("pass"))
    after = read(output.data)
    assert after.EncapsulatedDocument.rstrip(b"\0") == DOCUMENT * 200
    assert "InstitutionName" not in after
    assert output.record.to_dict()["unread"] == {"document": 1}


def test_the_setting_is_checked_and_tells_profiles_apart() -> None:
    with pytest.raises(ProfileError, match="the nearest is quarantine"):
        load_profile({"documents": "quarantin"})
    digests = {load_profile({"documents": d}).digest for d in ("quarantine", "drop", "pass")}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("image_type", "label", "told"),
    [
        (["ORIGINAL", "PRIMARY", "LABEL", "NONE"], "YES", "dropped slide-label"),
        (["ORIGINAL", "PRIMARY", "OVERVIEW", "NONE"], "NO", "dropped slide-label"),
        (["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], "NO", "passed"),
        (["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], "YES", "quarantined slide-label"),
        (None, "NO", "quarantined slide-label"),
    ],
)
def test_labels_of_slides_are_never_in_the_output(
    image_type: list[str] | None, label: str, told: str
) -> None:
    data = instance(SOPClassUID=WHOLE_SLIDE, ImageType=image_type, SpecimenLabelInImage=label)
    assert outcome(data, engine("pass")) == told


LETTER = instance(SOPClassUID=PDF, SOPInstanceUID="1.2.826.0.1.9")


@pytest.fixture
def run_dropping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, list[str]]]:
    """Run over files with a profile that drops documents: status, what it says, what it writes."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "drop.toml").write_text('name = "drop"\ndocuments = "drop"\n')

    def run(*files: bytes) -> tuple[int, str, list[str]]:
        (tmp_path / "in").mkdir()
        for number, data in enumerate(files, 1):
            (tmp_path / f"in/{number}.dcm").write_bytes(data)
        places = str(tmp_path / "in"), str(tmp_path / "out")
        status = main(["run", *places, "--profile", str(tmp_path / "drop.toml")])
        told = "".join(capsys.readouterr())
        return status, told, sorted(path.name for path in (tmp_path / "out").rglob("*.dcm"))

    return run


def test_a_run_goes_on_without_what_is_dropped(run_dropping: Any) -> None:
    status, told, written = run_dropping(instance(), LETTER)
    assert (status, written) == (0, ["1.dcm"])
    assert "2.dcm: it is an encapsulated document" in told


def test_a_study_of_which_nothing_is_left_is_held_back(run_dropping: Any) -> None:
    status, told, written = run_dropping(LETTER)
    assert (status, written) == (1, [])
    assert "nothing to deliver" in told


@pytest.mark.parametrize(
    ("modality", "part", "regions", "words", "shows"),
    [
        ("CT", "HEAD", [], "", True),
        ("MR", "BRAIN", [], "", True),
        ("CT", "", [], "", True),
        ("PT", "WHOLEBODY", [], "", True),
        ("CT", "CHEST", [], "", False),
        ("CT", "chest_abd_pelvis", [], "", False),
        ("CT", "CHEST", ["69536005"], "", True),
        ("MR", "", ["51185008"], "", False),
        ("MR", "", ["T-D3000", "T-D1100"], "", True),
        ("CT", "CHEST", [], "Head and neck", True),
        ("CT", "CHEST", [], "Thorax venous", False),
        ("XC", "", [], "", True),
        ("US", "HEAD", [], "", False),
        ("SR", "", [], "", False),
    ],
)
def test_what_may_show_a_face_is_refused(
    modality: str, part: str, regions: list[str], words: str, shows: bool
) -> None:
    expected = pytest.raises(Quarantine, match="defacing") if shows else nullcontext()
    with expected:
        refuse_faces(modality, part, regions, words)


def test_faces_are_looked_for_by_option_at_every_depth_and_never_claimed() -> None:
    option = "clean_recognizable_visual_features"
    frame = Dataset()
    frame.AnatomicRegionSequence = [code("69536005", "SCT", "Head")]
    group = Dataset()
    group.FrameAnatomySequence = [frame]
    head = instance(Modality="CT", SharedFunctionalGroupsSequence=[group])
    chest = instance(Modality="CT", BodyPartExamined="CHEST")
    assert outcome(head, engine("pass", option)) == "quarantined recognizable-face"
    assert outcome(head, engine("pass")) == "passed"
    output = deidentify(chest, engine("pass", option))
    assert output.record.codes == ("113100",)
