# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs over directory trees: which files there are, and how far each of their studies is."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables of runs, their studies and their files."""
    op.create_table(
        "archive_runs",
        sa.Column("id", KEY, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("look", sa.Integer, nullable=False, server_default="0"),
        sa.Column("looked", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="pk_archive_runs"),
        sa.UniqueConstraint("settings", name="uq_archive_runs_settings"),
    )
    op.create_table(
        "archive_studies",
        sa.Column("id", KEY, nullable=False),
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("study_instance_uid", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_archive_studies"),
        sa.ForeignKeyConstraint(["run_id"], ["archive_runs.id"], name="fk_archive_studies_run_id"),
        sa.UniqueConstraint(
            "run_id", "study_instance_uid", name="uq_archive_studies_run_id_study_instance_uid"
        ),
        sa.CheckConstraint("state IN ('waiting', 'done', 'failed')", name="state_known"),
    )
    op.create_index("ix_archive_studies_run_id_state", "archive_studies", ["run_id", "state", "id"])
    op.create_table(
        "archive_files",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("study_id", KEY),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("changed_ns", sa.BigInteger, nullable=False),
        sa.Column("look", sa.Integer, nullable=False),
        sa.Column("target", sa.LargeBinary),
        sa.Column("verdict", sa.Text, nullable=False, server_default=""),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("run_id", "path", name="pk_archive_files"),
        sa.ForeignKeyConstraint(["run_id"], ["archive_runs.id"], name="fk_archive_files_run_id"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["archive_studies.id"], name="fk_archive_files_study_id"
        ),
        sa.CheckConstraint("verdict IN ('', 'failed', 'left out')", name="verdict_known"),
    )
    op.create_index("ix_archive_files_study_id", "archive_files", ["study_id", "path"])
