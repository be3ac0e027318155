# SPDX-License-Identifier: GPL-3.0-or-later
"""Which instances hold a study back, and where in them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "held_instances",
        sa.Column("id", KEY, nullable=False),
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("instance_id", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False, server_default=""),
        sa.Column("frame", sa.Integer, nullable=False, server_default="0"),
        sa.Column("box", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_held_instances"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_held_instances_study_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_held_instances_study_id", "held_instances", ["study_id"])
