# SPDX-License-Identifier: GPL-3.0-or-later
"""What persons drew on images to have it blanked."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table of the rules."""
    op.create_table(
        "drawn_rules",
        sa.Column("id", KEY, nullable=False),
        sa.Column("study_id", KEY),
        sa.Column("conditions", sa.JSON, nullable=False),
        sa.Column("rectangles", sa.JSON, nullable=False),
        sa.Column("note", sa.Text, nullable=False, server_default=""),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_by", sa.Text),
        sa.Column("ended_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_drawn_rules"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_drawn_rules_study_id", ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            "(ended_by IS NULL) = (ended_at IS NULL)",
            name=op.f("ck_drawn_rules_ended_by_somebody"),
        ),
    )
    op.create_index("ix_drawn_rules_study_id", "drawn_rules", ["study_id"])
