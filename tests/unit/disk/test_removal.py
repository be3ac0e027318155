# SPDX-License-Identifier: GPL-3.0-or-later
"""A withdrawn study leaves the tree: all of its files, and nobody else's."""

from __future__ import annotations

from disk_removal import remove
from disk_tree import DEFAULT_PSEUDONYM, DEFAULT_TEMPLATE, parse_template
from disk_writer import Study, Tree, study_folder

from .conftest import Files


def write(tree: Tree, files: Files, study: Study) -> str:
    planned = tree.plan(study)
    tree.write(planned, files.data.__getitem__)
    return study_folder(planned)


def take_out(tree: Tree, study: Study, recorded: str | None) -> tuple[int, list[str]]:
    removal = remove(tree, tree.plan(study, recorded), study.tags["StudyInstanceUID"], recorded)
    return removal.removed, removal.left


def test_nothing_is_left_of_a_study_that_was_alone(tree: Tree, files: Files) -> None:
    study = files.study("1.2.1")
    folder = write(tree, files, study)
    assert take_out(tree, study, folder) == (2, [])
    assert list(tree.root.iterdir()) == []


def test_other_studies_of_the_same_patient_stay(tree: Tree, files: Files) -> None:
    gone, stays = files.study("1.2.1"), files.study("1.2.2")
    folder = write(tree, files, gone)
    write(tree, files, stays)
    assert take_out(tree, gone, folder)[0] == 2
    assert tree.look(tree.plan(stays)).present == 2


def test_what_people_put_beside_it_is_told_and_stays(tree: Tree, files: Files) -> None:
    study = files.study("1.2.1")
    folder = write(tree, files, study)
    notes = tree.root / folder / "Analysis" / "volumes.csv"
    notes.write_text("1")
    assert take_out(tree, study, folder) == (2, [f"{folder}/Analysis/volumes.csv"])
    assert notes.exists()
    assert list(tree.root.rglob("*.dcm")) == []


def test_files_that_another_template_wrote_go_too(tree: Tree, files: Files) -> None:
    study = files.study("1.2.1")
    folder = write(tree, files, study)
    new = parse_template(f"moved/{DEFAULT_TEMPLATE}", DEFAULT_PSEUDONYM)
    moved = Tree(tree.root, new)
    removal = remove(moved, moved.plan(study), "1.2.1", folder)
    assert (removal.removed, removal.left) == (2, [])
    assert list(tree.root.iterdir()) == []
