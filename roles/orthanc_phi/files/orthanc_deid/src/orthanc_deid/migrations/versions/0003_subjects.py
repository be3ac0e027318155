# SPDX-License-Identifier: GPL-3.0-or-later
"""Subjects apart from the identifiers that lead to them, and the pseudonyms that were given."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Move the identifiers into a table of their own; no number and no study changes."""
    _change_subjects_keys()
    _create_patient_identifiers()
    op.execute(
        "INSERT INTO patient_identifiers "
        "(project, patient_id, issuer, accession, subject_id, created_at) "
        "SELECT project, patient_id, issuer, '', id, created_at FROM subjects"
    )
    _drop_identifiers_of_subjects()
    _create_pseudonyms()
    op.add_column("studies", sa.Column("number_modifier", sa.Text))
    # What has gone out, in part or whole, went without a modifier.
    op.execute(
        "UPDATE studies SET number_modifier = '' WHERE delivered_at IS NOT NULL "
        "OR state = 'delivering' OR id IN (SELECT study_id FROM deliveries)"
    )


def _change_subjects_keys() -> None:
    with op.batch_alter_table("subjects", copy_from=_subjects()) as subjects:
        subjects.add_column(sa.Column("pseudonym", sa.Text))
        subjects.add_column(sa.Column("pseudonym_name", sa.Text))
        subjects.add_column(sa.Column("merged_into", KEY))
        subjects.create_unique_constraint("uq_subjects_project_id", ["project", "id"])
        subjects.create_foreign_key("fk_subjects_merged_into", "subjects", ["merged_into"], ["id"])
        subjects.create_check_constraint(
            op.f("ck_subjects_pseudonym_present"), "pseudonym <> '' AND pseudonym_name <> ''"
        )
        subjects.create_check_constraint(
            op.f("ck_subjects_merged_into_another"), "merged_into <> id"
        )


def _subjects(*further: sa.schema.SchemaItem) -> sa.Table:
    """Describe the table as it is, since SQLite does not tell its CHECK constraints."""
    return sa.Table(
        "subjects",
        sa.MetaData(),
        sa.Column("id", KEY, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("patient_id", sa.Text, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False, server_default=""),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("date_offset", sa.Integer, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subjects"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_subjects_project"),
        sa.UniqueConstraint(
            "project", "patient_id", "issuer", name="uq_subjects_project_patient_id_issuer"
        ),
        sa.UniqueConstraint("project", "number", name="uq_subjects_project_number"),
        sa.CheckConstraint("patient_id <> ''", name="ck_subjects_patient_id_present"),
        sa.CheckConstraint("number > 0", name="ck_subjects_number_positive"),
        sa.CheckConstraint("date_offset <> 0", name="ck_subjects_date_offset_not_zero"),
        *further,
    )


def _drop_identifiers_of_subjects() -> None:
    changed = _subjects(
        sa.Column("pseudonym", sa.Text),
        sa.Column("pseudonym_name", sa.Text),
        sa.Column("merged_into", KEY),
        sa.UniqueConstraint("project", "id", name="uq_subjects_project_id"),
        sa.ForeignKeyConstraint(["merged_into"], ["subjects.id"], name="fk_subjects_merged_into"),
        sa.CheckConstraint(
            "pseudonym <> '' AND pseudonym_name <> ''", name="ck_subjects_pseudonym_present"
        ),
        sa.CheckConstraint("merged_into <> id", name="ck_subjects_merged_into_another"),
    )
    with op.batch_alter_table("subjects", copy_from=changed) as subjects:
        subjects.drop_constraint("uq_subjects_project_patient_id_issuer", type_="unique")
        subjects.drop_constraint(op.f("ck_subjects_patient_id_present"), type_="check")
        subjects.drop_column("patient_id")
        subjects.drop_column("issuer")


def _create_patient_identifiers() -> None:
    op.create_table(
        "patient_identifiers",
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("patient_id", sa.Text, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False, server_default=""),
        sa.Column("accession", sa.Text, nullable=False, server_default=""),
        sa.Column("subject_id", KEY, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint(
            "project", "patient_id", "issuer", "accession", name="pk_patient_identifiers"
        ),
        sa.ForeignKeyConstraint(
            ["project", "subject_id"],
            ["subjects.project", "subjects.id"],
            name="fk_patient_identifiers_project",
        ),
        sa.CheckConstraint(
            "patient_id <> ''", name=op.f("ck_patient_identifiers_patient_id_present")
        ),
    )
    op.create_index("ix_patient_identifiers_subject_id", "patient_identifiers", ["subject_id"])


def _create_pseudonyms() -> None:
    op.create_table(
        "pseudonyms",
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("subject_id", KEY, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "value", name="pk_pseudonyms"),
        sa.ForeignKeyConstraint(
            ["project", "subject_id"],
            ["subjects.project", "subjects.id"],
            name="fk_pseudonyms_project",
        ),
    )
    op.create_index("ix_pseudonyms_subject_id", "pseudonyms", ["subject_id"])
