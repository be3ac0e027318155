# SPDX-License-Identifier: GPL-3.0-or-later
"""An index of the deliveries that have yet to come, which monitoring asks for again and again."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Make the index."""
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_deliveries_pending",
        "deliveries",
        ["destination"],
        postgresql_where=pending,
        sqlite_where=pending,
    )
