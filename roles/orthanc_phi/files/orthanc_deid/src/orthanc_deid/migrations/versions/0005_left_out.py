# SPDX-License-Identifier: GPL-3.0-or-later
"""A destination may leave a study out, by its filter."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

MOMENT = sa.DateTime(timezone=True)
KNOWN = "ck_deliveries_state_known"


def upgrade() -> None:
    """Allow the state `left_out`."""
    with op.batch_alter_table("deliveries", copy_from=_deliveries()) as deliveries:
        deliveries.drop_constraint(op.f(KNOWN), type_="check")
        deliveries.create_check_constraint(
            op.f(KNOWN), "state IN ('pending', 'delivered', 'left_out')"
        )


def _deliveries() -> sa.Table:
    """Describe the table as it is, since SQLite does not tell its CHECK constraints."""
    return sa.Table(
        "deliveries",
        sa.MetaData(),
        sa.Column("study_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("instances", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_error", sa.Text),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("delivered_at", MOMENT),
        sa.PrimaryKeyConstraint("study_id", "destination", name="pk_deliveries"),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name="fk_deliveries_study_id", ondelete="CASCADE"
        ),
        sa.CheckConstraint("state IN ('pending', 'delivered')", name=op.f(KNOWN)),
        sa.CheckConstraint("instances >= 0", name=op.f("ck_deliveries_instances_not_negative")),
    )
