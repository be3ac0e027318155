# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup says about itself, and how damage of it is met."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthanc_backup import backup_set
from orthanc_backup.backup_set import BackupSet, open_set, sets
from orthanc_backup.errors import BackupError
from orthanc_backup.manifest import Manifest, key_digest, parse_manifest, parse_moment

MANIFEST = Manifest(
    kind="phi",
    name="orthanc-phi",
    moment="20260131T121700Z",
    encrypted=False,
    secrets=False,
    versions={"collection": "1.0.0", "postgresql": "17.12"},
    images={"orthanc-phi-db": "postgres:17.12 sha256:00"},
    tables={"philookup": {"public.subjects": 512}},
    keys={"uid_key": "00"},
)


def made(directory: Path, moment: str = MANIFEST.moment, name: str = "orthanc-phi") -> BackupSet:
    path = backup_set.begin(directory)
    (path / "philookup.dump").write_bytes(b"PGDMP and more")
    told = {**json.loads(MANIFEST.text()), "moment": moment, "name": name}
    return backup_set.finish(path, Manifest(**told))


def test_a_manifest_says_after_reading_what_it_said_before() -> None:
    assert parse_manifest(MANIFEST.text()) == MANIFEST


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_what_is_no_manifest_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(BackupError, match="take another backup"):
        parse_manifest(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("moment", "yesterday"),
        ("moment", "../../etc"),
        ("tables", {}),
        ("tables", {"philookup": {"public.subjects": -1}}),
        ("tables", {"philookup": {"public.subjects": "512"}}),
        ("encrypted", "no"),
        ("kind", 3),
        ("surplus", 1),
    ],
)
def test_a_manifest_with_a_wrong_value_is_refused(name: str, value: object) -> None:
    with pytest.raises(BackupError, match="not a backup's manifest"):
        parse_manifest(json.dumps({**json.loads(MANIFEST.text()), name: value}))


def test_a_newer_format_is_refused_with_what_to_do() -> None:
    with pytest.raises(BackupError, match="format is 2, and this version reads 1"):
        parse_manifest(json.dumps({**json.loads(MANIFEST.text()), "format": 2}))


@given(st.text())
def test_only_the_name_of_a_moment_is_one(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_moment(name + "!")


def test_digests_tell_keys_apart_and_say_nothing_across_backups() -> None:
    one, other = "20260131T121700Z", "20260131T131700Z"

    assert key_digest("Sunlight0nTheWater", one) == key_digest("Sunlight0nTheWater", one)
    assert key_digest("Sunlight0nTheWater", one) != key_digest("Sunlight0nTheWaterS", one)
    assert key_digest("Sunlight0nTheWater", one) != key_digest("Sunlight0nTheWater", other)


def test_a_whole_backup_is_found_and_closed_to_others(tmp_path: Path) -> None:
    backup = made(tmp_path)

    assert sets(tmp_path, "orthanc-phi") == [backup]
    backup.verify()
    assert not backup.proven
    assert backup.path.stat().st_mode & 0o077 == 0
    assert (backup.path / backup_set.MANIFEST).stat().st_mode & 0o077 == 0


def test_a_backup_that_was_cut_off_is_none(tmp_path: Path) -> None:
    path = backup_set.begin(tmp_path)
    (path / "philookup.dump").write_bytes(b"PGDMP and")

    assert sets(tmp_path, "orthanc-phi") == []
    assert list(backup_set.begin(tmp_path).iterdir()) == []


def test_the_backups_of_another_orthanc_in_the_same_directory_are_left_alone(
    tmp_path: Path,
) -> None:
    mine = made(tmp_path)
    made(tmp_path, "20260131T121701Z", name="other-phi")
    (tmp_path / "20260131T121702Z").mkdir()

    assert sets(tmp_path, "orthanc-phi") == [mine]


@pytest.mark.parametrize("file", ["philookup.dump", backup_set.MANIFEST])
def test_a_flipped_bit_is_found(tmp_path: Path, file: str) -> None:
    backup = made(tmp_path)
    content = bytearray((backup.path / file).read_bytes())
    content[5] ^= 1
    (backup.path / file).write_bytes(content)

    with pytest.raises(BackupError, match="its checksum differs"):
        backup.verify()


def test_a_missing_file_is_found(tmp_path: Path) -> None:
    backup = made(tmp_path)
    backup.dump("philookup").unlink()

    with pytest.raises(BackupError, match=r"philookup\.dump is missing"):
        backup.verify()


def test_a_list_of_checksums_that_leaves_a_dump_out_is_refused(tmp_path: Path) -> None:
    backup = made(tmp_path)
    sums = backup.path / backup_set.SUMS
    sums.write_text("".join(line for line in sums.open() if "dump" not in line))

    with pytest.raises(BackupError, match=r"does not list philookup\.dump"):
        backup.verify()


def test_a_directory_without_a_backup_is_told_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="name the directory of one backup"):
        open_set(tmp_path)
