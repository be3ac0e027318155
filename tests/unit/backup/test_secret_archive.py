# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets in a backup, with the real age."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orthanc_backup import backup_set
from orthanc_backup.backup_set import BackupSet
from orthanc_backup.config import Config
from orthanc_backup.encryption import Identity, passing_identity
from orthanc_backup.errors import BackupError
from orthanc_backup.manifest import Manifest
from orthanc_backup.secret_archive import key_digests, pack, place_secrets, prove_secrets

MOMENT = "20260131T121700Z"
SECRETS = {"secrets/uid_key": "Sunlight0nTheWater", "secrets/admin": "M0onlightOnTheSea"}
AUTHORITY = {"ca/ca.key": "key of the authority", "ca/ca.crt": "certificate of the authority"}


@pytest.fixture
def identity() -> Identity:
    return passing_identity()


@pytest.fixture
def backup(config: Config, identity: Identity) -> BackupSet:
    """An encrypted backup of a host's secrets, which are then gone from the host."""
    for name, text in {**SECRETS, **AUTHORITY}.items():
        (config.secrets.parent / name).write_text(text + "\n")
    (config.secrets / "sibling.json").write_text("{}")
    made = written(config, identity)
    for name in (*SECRETS, *AUTHORITY):
        (config.secrets.parent / name).unlink()
    return made


def written(config: Config, identity: Identity) -> BackupSet:
    path = backup_set.begin(config.directory)
    pack(config, [identity.recipient], path / "secrets.tar.age")
    (path / "philookup.dump.age").write_bytes(b"")
    told = Manifest(
        kind="phi", name="orthanc-phi", moment=MOMENT, encrypted=True, secrets=True,
        versions={}, images={}, tables={"philookup": {}}, keys=key_digests(config, MOMENT),
    )  # fmt: skip
    made = backup_set.finish(path, told)
    prove_secrets(config, made, identity)
    return made


def test_an_empty_host_gets_the_same_secrets_back_closed_to_others(
    config: Config, backup: BackupSet, identity: Identity
) -> None:
    place_secrets(config, backup, identity, overwrite=False)

    for name, text in {**SECRETS, **AUTHORITY}.items():
        assert (config.secrets.parent / name).read_text() == text + "\n"
    assert (config.secrets / "uid_key").stat().st_mode & 0o777 == 0o400
    assert (config.authority / "ca.key").stat().st_mode & 0o777 == 0o400


def test_placing_secrets_again_changes_nothing(
    config: Config, backup: BackupSet, identity: Identity
) -> None:
    assert place_secrets(config, backup, identity, overwrite=False)
    assert place_secrets(config, backup, identity, overwrite=False) == []


def test_no_secret_is_in_a_file_of_the_backup(backup: BackupSet) -> None:
    written_down = b"".join(file.read_bytes() for file in backup.path.iterdir())

    assert not [text for text in SECRETS.values() if text.encode() in written_down]


def test_a_password_that_is_in_use_stays(
    config: Config, backup: BackupSet, identity: Identity
) -> None:
    (config.secrets / "admin").write_text("An0therPassword\n")

    place_secrets(config, backup, identity, overwrite=False)
    assert (config.secrets / "admin").read_text() == "An0therPassword\n"


@pytest.mark.parametrize("name", ["secrets/uid_key", "ca/ca.key"])
def test_another_key_is_never_replaced_without_being_told(
    config: Config, backup: BackupSet, identity: Identity, name: str
) -> None:
    path = config.secrets.parent / name
    path.write_text("An0therKey0fThisHost\n")

    with pytest.raises(BackupError, match="is not the one of the backup") as told:
        place_secrets(config, backup, identity, overwrite=False)
    assert "An0therKey" not in str(told.value)
    assert path.read_text() == "An0therKey0fThisHost\n"


def test_a_key_that_is_replaced_is_kept_beside_the_new_one(
    config: Config, backup: BackupSet, identity: Identity
) -> None:
    (config.secrets / "uid_key").write_text("An0therKey0fThisHost\n")

    place_secrets(config, backup, identity, overwrite=True)
    assert (config.secrets / "uid_key").read_text() == SECRETS["secrets/uid_key"] + "\n"
    kept = config.secrets / f"uid_key.before-{MOMENT}"
    assert kept.read_text() == "An0therKey0fThisHost\n"


def test_a_backup_without_secrets_wants_the_key_on_the_host(
    config: Config, backup: BackupSet
) -> None:
    manifest = replace(backup.manifest, secrets=False)
    bare = BackupSet(backup.path, manifest)

    with pytest.raises(BackupError, match="uid_key is missing"):
        place_secrets(config, bare, None, overwrite=False)
    (config.secrets / "uid_key").write_text("An0therKey0fThisHost\n")
    with pytest.raises(BackupError, match="is not the one that the backup was made with"):
        place_secrets(config, bare, None, overwrite=True)
    (config.secrets / "uid_key").write_text(SECRETS["secrets/uid_key"] + "\n")
    assert place_secrets(config, bare, None, overwrite=False) == []


def test_another_identity_opens_nothing(config: Config, backup: BackupSet) -> None:
    with pytest.raises(BackupError, match="no identity matched any of the recipients"):
        place_secrets(config, backup, passing_identity(), overwrite=False)
    assert list(config.secrets.iterdir()) == [config.secrets / "sibling.json"]


def test_an_identity_does_not_show_itself(identity: Identity) -> None:
    assert "AGE-SECRET-KEY" in identity.text
    assert "AGE-SECRET-KEY" not in repr(identity)


def test_an_archive_that_lacks_a_secret_is_no_proof(
    config: Config, backup: BackupSet, identity: Identity
) -> None:
    place_secrets(config, backup, identity, overwrite=False)
    (config.secrets / "new").write_text("MadeAfterwards0\n")

    with pytest.raises(BackupError, match="does not give back secrets/new"):
        prove_secrets(config, backup, identity)
    assert json.loads((backup.path / backup_set.MANIFEST).read_text())["secrets"]
