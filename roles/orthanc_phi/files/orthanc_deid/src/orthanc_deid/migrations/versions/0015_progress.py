# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a worker has come with a study."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the column."""
    op.add_column("studies", sa.Column("progress", sa.JSON(none_as_null=True)))
