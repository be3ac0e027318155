# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup table: real and anonymous identity of each study, side by side."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXTS = (
    "patient_name",
    "folded_name",
    "patient_id",
    "issuer",
    "accession",
    "study_date",
    "study_instance_uid",
    "pseudonym",
    "anonymous_accession",
    "anonymous_study_date",
    "anonymous_study_uid",
)
SORTED = ("subject_number", *(name for name in TEXTS if name not in {"patient_name", "issuer"}))
SEARCHED = ("folded_name", "patient_id", "accession", "pseudonym", "anonymous_accession")

# What the crosswalk has always known. The rest is read from PHI, while the service runs.
FILL = """
    INSERT INTO lookup (study_id, project, subject_number, patient_id, issuer, pseudonym,
                        study_instance_uid, anonymous_study_uid)
    SELECT studies.id, studies.project, subjects.number,
           coalesce(known.patient_id, ''), coalesce(known.issuer, ''), coalesce(given.value, ''),
           studies.study_instance_uid, studies.anonymous_study_uid
    FROM studies
    JOIN subjects ON subjects.id = studies.subject_id
    LEFT JOIN (
        SELECT subject_id, min(patient_id) AS patient_id, min(issuer) AS issuer
        FROM patient_identifiers GROUP BY subject_id
        HAVING count(DISTINCT patient_id) = 1 AND count(DISTINCT issuer) = 1
    ) AS known ON known.subject_id = subjects.id
    LEFT JOIN (
        SELECT subject_id, min(value) AS value FROM pseudonyms
        GROUP BY subject_id HAVING count(*) = 1
    ) AS given ON given.subject_id = subjects.id
    WHERE studies.study_instance_uid IS NOT NULL AND studies.anonymous_study_uid IS NOT NULL
"""


def upgrade() -> None:
    """Make the table and its indexes, and fill in what the crosswalk knows."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.create_table(
        "lookup",
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("subject_number", sa.Integer, nullable=False, server_default="0"),
        *(sa.Column(name, sa.Text, nullable=False, server_default="") for name in TEXTS),
        sa.Column("source", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("study_id", name="pk_lookup"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_lookup_study_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_lookup_project"),
        sa.CheckConstraint(
            "source IN ('', 'study', 'phi', 'gone')", name=op.f("ck_lookup_source_known")
        ),
    )
    op.execute(FILL)
    unfilled = sa.text("source = ''")
    op.create_index(
        "ix_lookup_unfilled",
        "lookup",
        ["study_id"],
        postgresql_where=unfilled,
        sqlite_where=unfilled,
    )
    for name in SORTED:
        op.create_index(f"ix_lookup_{name}", "lookup", [name, "study_id"])
    for name in SEARCHED:
        _let_search("lookup", name)
    _let_search("patient_identifiers", "patient_id")


def _let_search(table: str, column: str) -> None:
    op.create_index(
        f"ix_{table}_{column}_searched",
        table,
        [column],
        postgresql_using="gin",
        postgresql_ops={column: "gin_trgm_ops"},
    )
