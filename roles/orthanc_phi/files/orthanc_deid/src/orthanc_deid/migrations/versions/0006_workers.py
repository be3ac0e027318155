# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers that tell that they are alive, and an index for what was delivered when."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table of workers and the indexes of the figures."""
    op.create_table(
        "workers",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("beat_at", MOMENT, nullable=False),
        sa.Column("spool_free", sa.BigInteger, nullable=False),
        sa.Column("spool_total", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )
    for table in ("studies", "deliveries"):
        op.create_index(f"ix_{table}_delivered_at", table, ["delivered_at"])
