# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a person wants a study to go."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the column."""
    op.add_column("studies", sa.Column("chosen_destinations", sa.JSON(none_as_null=True)))
