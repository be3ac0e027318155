# SPDX-License-Identifier: GPL-3.0-or-later
"""The crosswalk: projects, subjects, studies, deliveries, events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
STATES = (
    "'received', 'stable', 'queued', 'working', 'delivering', 'delivered', "
    "'quarantined', 'withdrawn'"
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "projects",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("last_number", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("name", name="pk_projects"),
    )
    _create_subjects()
    _create_studies()
    _create_deliveries()
    _create_events()


def _create_subjects() -> None:
    op.create_table(
        "subjects",
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
        sa.CheckConstraint("patient_id <> ''", name=op.f("ck_subjects_patient_id_present")),
        sa.CheckConstraint("number > 0", name=op.f("ck_subjects_number_positive")),
        sa.CheckConstraint("date_offset <> 0", name=op.f("ck_subjects_date_offset_not_zero")),
    )


def _create_studies() -> None:
    op.create_table(
        "studies",
        sa.Column("id", KEY, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("orthanc_id", sa.Text),
        sa.Column("study_instance_uid", sa.Text),
        sa.Column("anonymous_study_uid", sa.Text),
        sa.Column("subject_id", KEY),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("source_instances", sa.Integer),
        sa.Column("source_last_update", sa.Text),
        sa.Column("record", sa.JSON),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("delivered_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_studies_project"),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], name="fk_studies_subject_id"),
        sa.UniqueConstraint("project", "orthanc_id", name="uq_studies_project_orthanc_id"),
        sa.UniqueConstraint(
            "project", "anonymous_study_uid", name="uq_studies_project_anonymous_study_uid"
        ),
        sa.CheckConstraint(f"state IN ({STATES})", name=op.f("ck_studies_state_known")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_studies_attempts_not_negative")),
        sa.CheckConstraint(
            "orthanc_id IS NOT NULL OR study_instance_uid IS NOT NULL",
            name=op.f("ck_studies_source_known"),
        ),
    )
    for column in ("state", "study_instance_uid", "subject_id"):
        op.create_index(f"ix_studies_{column}", "studies", [column])
    op.create_index(
        "uq_studies_outside_orthanc",
        "studies",
        ["project", "study_instance_uid"],
        unique=True,
        postgresql_where=sa.text("orthanc_id IS NULL"),
        sqlite_where=sa.text("orthanc_id IS NULL"),
    )


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("instances", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_error", sa.Text),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("delivered_at", MOMENT),
        sa.PrimaryKeyConstraint("study_id", "destination", name="pk_deliveries"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], ondelete="CASCADE", name="fk_deliveries_study_id"
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered')", name=op.f("ck_deliveries_state_known")
        ),
        sa.CheckConstraint("instances >= 0", name=op.f("ck_deliveries_instances_not_negative")),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", KEY, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("study_id", KEY),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], ondelete="CASCADE", name="fk_events_study_id"
        ),
    )
    op.create_index("ix_events_at", "events", ["at"])
    op.create_index("ix_events_study_id", "events", ["study_id"])
