# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups and restores of real PostgreSQL servers; only the container engine is a stand-in."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orthanc_backup import backup_set, cli, create, running
from orthanc_backup.backup_set import BackupSet
from orthanc_backup.config import Config, Database
from orthanc_backup.errors import BackupError
from orthanc_backup.postgres import Server
from orthanc_backup.restore import Restore
from orthanc_backup.state import read_state

BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"))
LIVE = Server("orthanc-phi-db")
A_FILE = "00000000-0000-0000-0000-000000000001"

# Each container is a server with its files and its socket in a directory of its name.
DOCKER = r"""#!/bin/sh -e
export PATH=BINARIES:/usr/bin:/bin
as() {
    [ "$(id -u)" = 0 ] || { "$@"; return; }
    setpriv --reuid ACCOUNT --regid ACCOUNT --clear-groups "$@"
}
start() {
    as mkdir -p HOME/$1
    as initdb -D HOME/$1/data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync
    as pg_ctl -D HOME/$1/data -w -l HOME/$1/log \
        -o "-k HOME/$1 -c listen_addresses= -c fsync=off" start
}
case "$1" in
exec) shift 2; [ -d "HOME/$1" ] || { echo "No such container: $1" >&2; exit 1; }
      export PGHOST="HOME/$1"; shift; exec "$@" ;;
run) while [ "$1" != --name ]; do shift; done; start "$2" >/dev/null ;;
rm) for name; do :; done
    [ -d "HOME/$name" ] || exit 0
    as pg_ctl -D "HOME/$name/data" -m immediate stop
    rm -r "HOME/$name" ;;
inspect) echo postgres:17 sha256:00 ;;
esac
"""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stand-in for docker, with a running server as the database's container."""
    account = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory(prefix="orthanc-backup-") as home:
        docker = Path(home) / "docker"
        script = DOCKER.replace("BINARIES", str(BINARIES)).replace("ACCOUNT", account)
        docker.write_text(script.replace("HOME", home))
        docker.chmod(0o755)
        Path(home).chmod(0o777)
        monkeypatch.setattr(running, "PATH", f"{home}:{running.PATH}")
        subprocess.run([docker, "run", "--name", LIVE.container], check=True)
        yield docker
        subprocess.run([docker, "rm", LIVE.container], check=True, capture_output=True)


@pytest.fixture
def site(config: Config, engine: Path) -> Config:
    """A crosswalk of two subjects and an index of one file, on the running server."""
    assert engine
    (config.secrets / "uid_key").write_text("Sunlight0nTheWater\n")
    databases = (*config.databases, Database("orthanc", "orthanc", "orthanc"))
    for database in databases:
        LIVE.create(database.name, database)
    LIVE.sql(
        "philookup",
        "CREATE TABLE subjects (project text, number int, patient text);"
        "INSERT INTO subjects VALUES ('d', 1, 'DOE^JANE'), ('d', 2, 'ROE');"
        "GRANT SELECT ON subjects TO philookup;",
    )
    LIVE.sql(
        "orthanc",
        "CREATE TABLE resources (id int); INSERT INTO resources VALUES (1);"
        f"CREATE TABLE attachedfiles (uuid text); INSERT INTO attachedfiles VALUES ('{A_FILE}');",
    )
    return replace(config, databases=databases, postgres_uid=os.geteuid())


def subjects() -> list[list[str]]:
    return LIVE.sql("philookup", "SELECT number, patient FROM subjects ORDER BY 1;")


def add(number: int, patient: str) -> None:
    LIVE.sql("philookup", f"INSERT INTO subjects VALUES ('d', {number}, '{patient}');")


def restored(site: Config, backup: BackupSet, **how: str | bool) -> str:
    return "\n".join(Restore(site, backup, None, **how).run())


def test_a_backup_is_proven_and_tells_the_rows_of_each_table(site: Config) -> None:
    backup = create.create(site)

    assert backup.proven
    assert backup.manifest.tables["philookup"] == {"public.subjects": 2}
    assert "DOE" not in (backup.path / backup_set.MANIFEST).read_text()
    assert not site.scratch.exists()


def test_the_backup_holds_the_moment_that_was_counted_whatever_is_written_meanwhile(
    site: Config,
) -> None:
    with LIVE.snapshot("philookup") as snapshot:
        add(3, "LATER")
        dump = running.pipe("dump", LIVE.dump("philookup", snapshot))
    LIVE.create("copy", site.database("philookup"))
    running.pipe("restore", LIVE.restoring("copy"), given=dump)

    assert LIVE.census("copy", index=False) == snapshot.census
    assert snapshot.census["public.subjects"][0] == 2


def test_a_lost_crosswalk_comes_back_with_owner_and_rights(site: Config) -> None:
    backup = create.create(site)
    before = subjects()
    LIVE.sql("postgres", "DROP DATABASE philookup;")

    assert "philookup was not there and is restored" in restored(site, backup)
    assert subjects() == before
    rights = "SELECT has_table_privilege('philookup', 'subjects', 'SELECT');"
    assert LIVE.sql("philookup", rights) == [["t"]]


def test_an_interrupted_restore_can_be_run_again(site: Config) -> None:
    backup = create.create(site)
    LIVE.sql("postgres", 'ALTER DATABASE philookup RENAME TO "philookup_before_x";')
    LIVE.create("philookup", site.database("philookup"))
    LIVE.create("philookup_restored", site.database("philookup"))

    assert "philookup was empty and is restored" in restored(site, backup)
    assert "philookup holds what the backup holds" in restored(site, backup)
    assert len(subjects()) == 2


def test_subjects_that_the_backup_lacks_are_not_dropped_without_being_told(site: Config) -> None:
    backup = create.create(site)
    add(3, "LATER^ANN")

    with pytest.raises(BackupError, match=r"1 of 3 rows in public\.subjects") as told:
        restored(site, backup)
    assert "LATER" not in str(told.value)
    assert len(subjects()) == 3
    assert "philookup_restored" not in LIVE.databases()


def test_a_database_that_is_overwritten_is_kept_under_another_name(site: Config) -> None:
    backup = create.create(site)
    add(3, "LATER")

    told = restored(site, backup, overwrite=True)
    assert "public.subjects had 3 rows and now has 2" in told
    assert len(subjects()) == 2
    (kept,) = [name for name in LIVE.databases() if name.startswith("philookup_before_")]
    assert kept in told
    assert len(LIVE.sql(kept, "SELECT * FROM subjects;")) == 3


@pytest.mark.parametrize(
    ("resources", "files", "index", "told"),
    [
        (True, True, "auto", "is in use (1 resources) and stays"),
        (False, False, "auto", "was not restored, since"),
        (False, True, "auto", "orthanc is restored"),
        (False, False, "always", "orthanc is restored"),
        (False, True, "never", "as was asked"),
    ],
)
def test_the_index_comes_back_only_where_it_helps(
    site: Config, resources: bool, files: bool, index: str, told: str
) -> None:
    backup = create.create(site)
    if not resources:
        LIVE.sql("orthanc", "DELETE FROM resources;")
    if files:
        (site.storage / "00/00").mkdir(parents=True)
        (site.storage / "00/00" / A_FILE.replace("1", "2")).touch()

    said = restored(site, backup, index=index)
    assert told in said
    assert ("1 of 1 files that Orthanc's index names are not in" in said) == ("is restored" in told)
    held = LIVE.sql("orthanc", "SELECT count(*) FROM resources;")
    assert held == [["1" if resources or "is restored" in told else "0"]]


def test_subjects_that_vanish_fail_the_backup_and_the_older_ones_stay(site: Config) -> None:
    first = create.create(site)
    LIVE.sql("philookup", "DELETE FROM subjects WHERE number = 2;")

    with pytest.raises(BackupError, match=r"public\.subjects in philookup has 1 rows, and 2 in"):
        create.create(replace(site, keep={"hourly": 1}))
    assert first.path.exists()


def test_a_restored_copy_that_differs_is_no_proof(
    site: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create, "_dump", _dump_of_less)

    with pytest.raises(BackupError, match=r"public\.subjects has 1 rows, not 2"):
        create.create(site)
    (left,) = backup_set.sets(site.directory, site.name)
    assert not left.proven


_dump = create._dump


def _dump_of_less(server: Server, database: str, path: Path, recipients: list[str]) -> object:
    census = _dump(server, database, path, recipients)
    if database == "philookup":
        server.sql(database, "DELETE FROM subjects WHERE number = 2;")
        _dump(server, database, path, recipients)
    return census


def test_a_database_that_is_away_is_told_in_the_state_and_the_last_success_stays(
    site: Config, engine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "read_config", lambda _: site)
    assert cli.main(["create"]) == 0
    success = read_state(site.directory).success
    home = engine.parent / LIVE.container
    home.rename(f"{home}.away")
    try:
        assert cli.main(["create"]) == 1
    finally:
        Path(f"{home}.away").rename(home)
    state = read_state(site.directory)

    assert "No such container" in state.error
    assert state.success == success
    assert cli.main(["watch"]) == 1
    assert "No such container" in capsys.readouterr().err
    assert json.loads((site.directory / "state.json").read_text())["backup"]
