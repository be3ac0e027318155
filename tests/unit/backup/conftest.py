# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from orthanc_backup.config import Config, Database, Guarded


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The settings of a site whose directories are all below a temporary one."""
    for name in ("secrets", "ca"):
        (tmp_path / name).mkdir()
    return Config(
        kind="phi",
        name="orthanc-phi",
        image="postgres:17.12",
        memory="1g",
        postgres_uid=999,
        postgres_major="17",
        wal=False,
        wal_directory=tmp_path / "backups/wal",
        pgdata=tmp_path / "postgres",
        postgres_settings=tmp_path / "etc/postgres",
        databases=(Database("philookup", "philookup_owner", "philookup"),),
        guarded=(Guarded("philookup", "public.subjects", "project, number"),),
        directory=tmp_path / "backups",
        scratch=tmp_path / "proof",
        storage=tmp_path / "storage",
        secrets=tmp_path / "secrets",
        keys=("uid_key",),
        authority=tmp_path / "ca",
        published=None,
        recipients=(),
        keep={"hourly": 2},
        max_age=3,
        mail_to="radiology-it@example.org",
        collection_version="1.0.0",
    )
