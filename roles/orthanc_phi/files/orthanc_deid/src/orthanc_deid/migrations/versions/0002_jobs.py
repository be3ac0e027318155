# SPDX-License-Identifier: GPL-3.0-or-later
"""The job queue: Procrastinate's own schema (of its version 3.10), on PostgreSQL only."""

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables, types and functions of Procrastinate."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(SchemaManager.get_schema().replace("%", "%%"))
