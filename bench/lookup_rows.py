# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills a crosswalk with invented patients and studies, as many as one likes.

Five studies a patient, names of many countries, every tenth patient with a former ID, and each
study delivered to two destinations.
"""

from __future__ import annotations

import sqlalchemy as sa

from orthanc_deid.lookup import fold

FAMILIES = [
    "Smith",
    "Johnson",
    "Williams",
    "Brown",
    "Jones",
    "Garcia",
    "Miller",
    "Davis",
    "Rodriguez",
    "Martinez",
    "Nguyen",
    "Patel",
    "Kim",
    "Müller",
    "Meyer",
    "Schmidt",
    "Weber",
    "Dubois",
    "Moreau",
    "Rossi",
    "Bianchi",
    "Silva",
    "Santos",
    "Kowalski",
    "Novák",
    "Ivanov",
    "Yildiz",
    "O'Neil",
    "Ångström",
    "Yamada=山田",
    "Suzuki=鈴木",
    "Tanaka=田中",
    "Wang=王小東",
    "Hong=洪",
    "Cohen=כהן",
    "Haddad=حداد",
]
GIVEN = [
    "James",
    "Mary",
    "Robert",
    "Patricia",
    "John",
    "Jennifer",
    "Michael",
    "Linda",
    "David",
    "Elizabeth",
    "José",
    "María",
    "Anna",
    "Jan",
    "Zoë",
    "Ümit",
    "Tarou",
    "Hanako",
    "Xiaodong",
    "Noa",
    "Layla",
    "Omar",
    "Chloé",
    "Søren",
]

_INDEXES = (
    "SELECT indexname, indexdef FROM pg_indexes"
    " WHERE schemaname = 'public' AND indexname LIKE 'ix\\_%' AND tablename IN"
    " ('patient_identifiers', 'pseudonyms', 'studies', 'deliveries', 'events', 'lookup')"
)
_ROWS = (
    "INSERT INTO projects (name, last_number) VALUES ('default', :subjects) ON CONFLICT DO NOTHING",
    "INSERT INTO subjects (project, number, date_offset, created_at) "
    "SELECT 'default', n, -1 - n % 365, now() FROM generate_series(1, :subjects) n",
    "INSERT INTO patient_identifiers"
    " (project, patient_id, issuer, accession, subject_id, created_at)"
    " SELECT project, lpad((number::bigint * 7919 % 9999991)::text, 7, '0'), '', '', id, now()"
    " FROM subjects"
    " UNION ALL SELECT project, 'OLD' || number, '', '', id, now() FROM subjects"
    " WHERE number % 10 = 7",
    "INSERT INTO pseudonyms (project, value, subject_id, created_at)"
    " SELECT project, 'DEMO_ID' || lpad(number::text, greatest(6, length(number::text)), '0'),"
    " id, now() FROM subjects",
    "INSERT INTO studies (project, orthanc_id, study_instance_uid, anonymous_study_uid, subject_id,"
    " state, created_at, updated_at, delivered_at)"
    " SELECT 'default', 'orthanc-' || n, '1.2.826.0.1.' || n || '.' || n * 31 % 977,"
    " '2.25.' || (n::numeric * 170141183460469231731687303715884105), s.id, 'delivered', now(),"
    " now(), now() FROM generate_series(1, :studies) n"
    " JOIN subjects s ON s.project = 'default' AND s.number = 1 + n % :subjects",
    "INSERT INTO deliveries (study_id, destination, state, instances, updated_at, delivered_at)"
    " SELECT id, name, 'delivered', 100, now(), now()"
    " FROM studies CROSS JOIN unnest(ARRAY['anon', 'disk']) name",
    "INSERT INTO events (at, actor, action, study_id)"
    " SELECT now(), 'orthanc-deid', 'delivered', id FROM studies",
    # Accessions and dates without any relation to the numbers.
    "INSERT INTO lookup (study_id, project, subject_number, patient_name, folded_name, patient_id,"
    " accession, study_date, study_instance_uid, pseudonym, anonymous_accession,"
    " anonymous_study_date, anonymous_study_uid, source)"
    " SELECT t.id, t.project, s.number, told.name, told.folded, i.patient_id,"
    " 'ACC' || lpad((t.id * 48271 % 99999989)::text, 8, '0'),"
    " to_char(told.day, 'YYYY-MM-DD'), t.study_instance_uid,"
    " 'DEMO_ID' || lpad(s.number::text, greatest(6, length(s.number::text)), '0'),"
    " lpad((t.id * 2654435761 % 999999999999989)::text, 15, '0'),"
    " to_char(told.day + s.date_offset, 'YYYY-MM-DD'), t.anonymous_study_uid, 'study'"
    " FROM studies t JOIN subjects s ON s.id = t.subject_id"
    " JOIN patient_identifiers i ON i.subject_id = s.id AND i.patient_id NOT LIKE 'OLD%'"
    " CROSS JOIN LATERAL (SELECT"
    " (CAST(:families AS text[]))[1 + s.number * 7 % :many] || '^'"
    " || (CAST(:given AS text[]))[1 + s.number * 11 % :givens] || ' ' || s.number % 9973 AS name,"
    " (CAST(:folded AS text[]))[1 + s.number * 7 % :many] || ' '"
    " || (CAST(:folded_given AS text[]))[1 + s.number * 11 % :givens] || ' ' || s.number % 9973"
    " AS folded, date '2008-01-01' + (t.id * 7907 % 6570)::int AS day) told",
)


def add_rows(url: sa.URL, studies: int) -> None:
    """Add patients and studies to an empty crosswalk of this version, as its owner."""
    values = {
        "studies": studies,
        "subjects": max(1, studies // 5),
        "families": FAMILIES,
        "given": GIVEN,
        "folded": [fold(name) for name in FAMILIES],
        "folded_given": [fold(name) for name in GIVEN],
        "many": len(FAMILIES),
        "givens": len(GIVEN),
    }
    # The product's driver gives up after some seconds, in the whole process.
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Only the filling: each row refers to those that were made before it, and a server that
        # ends now is thrown away anyway.
        connection.exec_driver_sql("SET session_replication_role = replica")
        connection.exec_driver_sql("SET synchronous_commit = off")
        connection.exec_driver_sql("SET work_mem = '256MB'")
        connection.exec_driver_sql("SET maintenance_work_mem = '512MB'")
        # Indexes are made much faster once all rows are there.
        indexes = {row[0]: row[1] for row in connection.execute(sa.text(_INDEXES))}
        for name in indexes:
            connection.exec_driver_sql(f"DROP INDEX {name}")
        for statement in _ROWS:
            connection.execute(sa.text(statement), values)
            # Else the next one is planned as for empty tables, and may compare all with all.
            connection.exec_driver_sql("ANALYZE")
        for definition in indexes.values():
            connection.exec_driver_sql(definition)
        connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()
