# SPDX-License-Identifier: GPL-3.0-or-later
"""How far PHI's changes were followed, and indexes for look-ups over all projects."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table, and let each unique key begin with what is looked for."""
    op.create_table(
        "looks",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("change", sa.BigInteger, nullable=False),
        sa.Column("complete_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_looks"),
    )
    with op.batch_alter_table("studies") as studies:
        for column in ("orthanc_id", "anonymous_study_uid"):
            studies.drop_constraint(f"uq_studies_project_{column}", type_="unique")
            studies.create_unique_constraint(f"uq_studies_{column}_project", [column, "project"])
    left = sa.text("state = 'left'")
    op.create_index(
        "ix_deliveries_left", "deliveries", ["study_id"], postgresql_where=left, sqlite_where=left
    )
