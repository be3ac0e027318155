# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of an Orthanc such as Anon, on PostgreSQL, as more and more instances are in it.

One instance is stored by Orthanc; all others are its rows again under other numbers and UIDs,
written straight into the tables. So they are what this Orthanc writes, without its files.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any, Final

import httpx
import sqlalchemy as sa
from pydicom import dcmread
from pydicom.uid import generate_uid

from postgres_server import running_postgres
from quality import orthanc_container
from speed.series import sr

from .curve import Curve, usual_ms

# Orthanc closes a kept connection after 1 s; one that is as old must not be used again.
_LIMITS: Final = httpx.Limits(keepalive_expiry=0.5)
_STEP: Final = 103  # rows of a study: patient, study, series and 100 instances
_INSTANCES: Final = 100
_PLUGINS: Final = "/usr/share/orthanc/plugins"
_PAGE: Final = "a page of 100 studies from the middle of all"
# What tells one resource from another: IDs and UIDs.
_UNIQUE: Final = "(32, 13), (32, 14), (8, 24), (8, 80)"
_FILL: Final = (
    "INSERT INTO resources (internalid, resourcetype, publicid, parentid) "
    "SELECT :base + s * :step + k, least(k, 3), "
    "regexp_replace(md5((:base + s * :step + k)::text) || left(md5(k::text), 8), "
    "'(.{8})(?!$)', '\\1-', 'g'), "
    "CASE WHEN k = 0 THEN NULL ELSE :base + s * :step + least(k - 1, 2) END "
    "FROM generate_series(0, :studies - 1) s, generate_series(0, :step - 1) k",
    "INSERT INTO {table} (id, taggroup, tagelement, value) "
    "SELECT r.internalid, t.taggroup, t.tagelement, CASE "
    # A study says whose it is, too: of the patient that stands a row before it.
    "WHEN (t.taggroup, t.tagelement) = (16, 32) THEN 'P' || (r.internalid - r.resourcetype) "
    f"WHEN (t.taggroup, t.tagelement) IN ({_UNIQUE}) THEN '2.25.' || r.internalid "
    "ELSE t.value END {joined}",
    "INSERT INTO metadata (id, type, value, revision) "
    "SELECT r.internalid, t.type, t.value, t.revision {joined}",
    "INSERT INTO attachedfiles (id, filetype, uuid, compressedsize, uncompressedsize, "
    "compressiontype, uncompressedhash, compressedhash, revision) "
    "SELECT r.internalid, t.filetype, md5(r.internalid || '-' || t.filetype)::uuid::text, "
    "t.compressedsize, t.uncompressedsize, t.compressiontype, t.uncompressedhash, "
    "t.compressedhash, t.revision {joined}",
    "INSERT INTO changes (changetype, internalid, resourcetype, date) "
    "SELECT t.changetype, r.internalid, t.resourcetype, t.date "
    "FROM resources r JOIN resources o USING (resourcetype) "
    "JOIN changes t ON t.internalid = o.internalid "
    "WHERE r.internalid > :base - 1 AND o.internalid <= :first",
    # What Orthanc's triggers count row by row.
    "UPDATE globalintegers g SET value = n FROM (SELECT resourcetype + 2 AS key, count(*) AS n "
    "FROM resources GROUP BY resourcetype) counted WHERE g.key = counted.key",
    "UPDATE globalintegers SET value = (SELECT max(seq) FROM changes) WHERE key = 6",
    "SELECT setval('resources_internalid_seq', (SELECT max(internalid) FROM resources))",
)


def measure(sizes: Sequence[int], progress: Callable[[str], None]) -> Curve:
    """Measure what is asked of an index of so many instances.

    Raises:
        RuntimeError: no image of Orthanc was built on this machine.
    """
    image = orthanc_container.image()
    if image is None:
        raise RuntimeError("no image of Orthanc is here; `make demo` builds one")
    costs: dict[str, list[float]] = defaultdict(list)
    with (
        running_postgres(fsync=True) as server,
        orthanc_container.running(image, _settings(server), host_network=True) as url,
        httpx.Client(base_url=url, timeout=60, limits=_LIMITS) as orthanc,
    ):
        engine = sa.create_engine(server)
        new = _new_instances()
        orthanc.post("/instances", content=next(new)).raise_for_status()
        with engine.connect() as connection:
            first = int(connection.scalar(sa.text("SELECT max(internalid) FROM resources")) or 0)
        for size in sizes:
            progress(f"index of {size:,} instances")
            _fill(engine, size, first)
            for name, cost in _costs(orthanc, engine, new).items():
                costs[name].append(cost)
        engine.dispose()
    return Curve("index of Orthanc", "instances", sizes, costs, frozenset({_PAGE}))


def _settings(server: sa.URL) -> dict[str, Any]:
    return {
        "Plugins": [f"{_PLUGINS}/libOrthancPostgreSQLIndex.so"],
        "PostgreSQL": {
            "EnableIndex": True,
            "EnableStorage": False,
            "Host": "127.0.0.1",
            "Port": server.port,
            "Database": server.database,
            "Username": server.username,
            "Password": "",
            "IndexConnectionsCount": 10,
            "Lock": False,
        },
    }


def _fill(engine: sa.Engine, size: int, first: int) -> None:
    joined = (
        "FROM resources r JOIN resources o USING (resourcetype) "
        "JOIN {table} t ON t.id = o.internalid "
        "WHERE r.internalid > :base - 1 AND o.internalid <= :first"
    )
    with engine.begin() as connection:
        # Only the filling: triggers that count would take longer than all else.
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        connection.execute(sa.text("SET LOCAL synchronous_commit = off"))
        highest = connection.scalar(sa.text("SELECT max(internalid) FROM resources"))
        held = connection.scalar(sa.text("SELECT count(*) FROM resources WHERE resourcetype = 3"))
        values = {
            "base": int(highest or 0) + 1,
            "studies": -(-(size - int(held or 0)) // _INSTANCES),
            "step": _STEP,
            "first": first,
        }
        for statement in _FILL:
            tables = {"metadata": "metadata", "attachedfiles": "attachedfiles"}
            named = next((table for table in tables if f"INTO {table}" in statement), None)
            for table in [named] if named else ["maindicomtags", "dicomidentifiers"]:
                text = statement.replace("{joined}", joined).replace("{table}", table)
                used = {key: value for key, value in values.items() if f":{key}" in text}
                connection.execute(sa.text(text), used)
                if "{table}" not in statement:
                    break
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))


def _costs(orthanc: httpx.Client, engine: sa.Engine, new: Iterator[bytes]) -> dict[str, float]:
    with engine.connect() as connection:
        query = (
            "SELECT internalid, publicid FROM resources JOIN dicomidentifiers ON id = internalid "
            "WHERE (taggroup, tagelement) = (32, 13) AND value = '2.25.' || internalid"
        )
        studies = list(connection.execute(sa.text(query)).all())
    turns = itertools.cycle(studies[at * 7919 % len(studies)] for at in range(len(studies)))

    def get(path: str) -> None:
        orthanc.get(path).raise_for_status()

    def look_up() -> None:
        uid = f"2.25.{next(turns)[0]}"
        if len(orthanc.post("/tools/lookup", content=uid).raise_for_status().json()) != 1:
            raise RuntimeError(f"the index of the bench does not find the study {uid}")

    def find() -> None:
        query = {"PatientID": f"P{next(turns)[0] - 1}"}
        asked = {"Level": "Study", "Query": query, "Limit": 10}
        if len(orthanc.post("/tools/find", json=asked).raise_for_status().json()) != 1:
            raise RuntimeError(f"the index of the bench does not find the patient {query}")

    return {
        "a study looked up by its UID": usual_ms(look_up),
        "the studies of a patient": usual_ms(find),
        "the 100 instances of a study": usual_ms(
            lambda: get(f"/studies/{next(turns)[1]}/instances"), 20
        ),
        "an instance stored": usual_ms(
            lambda: orthanc.post("/instances", content=next(new)).raise_for_status()
        ),
        "its figures (/statistics)": usual_ms(lambda: get("/statistics"), 20),
        _PAGE: usual_ms(lambda: get(f"/studies?since={len(studies) // 2}&limit=100"), 10),
    }


def _new_instances() -> Iterator[bytes]:
    made = dcmread(BytesIO(sr(0)))
    while True:
        made.PatientID = generate_uid()[-16:]
        made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        buffer = BytesIO()
        made.save_as(buffer)
        yield buffer.getvalue()
