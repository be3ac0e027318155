# SPDX-License-Identifier: GPL-3.0-or-later
"""What the PHI Orthanc holds, for searching; and what is fetched from the PACS."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
TEXTS = (
    "study_instance_uid",
    "patient_name",
    "patient_id",
    "birth_date",
    "accession",
    "study_date",
    "description",
    "modalities",
    "source",
    "folded_patient",
    "folded_description",
)
SEARCHED = ("folded_patient", "accession", "folded_description")
ITEM_TEXTS = (
    "study_instance_uid",
    "patient_name",
    "patient_id",
    "accession",
    "study_date",
    "description",
    "modalities",
    "job",
    "error",
)
ITEM_STATES = "'looking', 'waiting', 'retrieving', 'done', 'not-found', 'failed', 'stopped'"


def upgrade() -> None:
    """Make the tables; the workers and the agent fill them."""
    _create_held_studies()
    op.create_index("ix_studies_orthanc_id", "studies", ["orthanc_id"])
    op.create_table(
        "fetches",
        sa.Column("id", KEY, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fetches"),
    )
    op.create_table(
        "fetch_items",
        sa.Column("id", KEY, nullable=False),
        sa.Column("fetch_id", KEY, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False, server_default="") for name in ITEM_TEXTS),
        sa.Column("expected", sa.Integer),
        sa.Column("received", sa.Integer, nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fetch_items"),
        sa.ForeignKeyConstraint(
            ["fetch_id"], ["fetches.id"], name="fk_fetch_items_fetch_id", ondelete="CASCADE"
        ),
        sa.CheckConstraint(f"state IN ({ITEM_STATES})", name="ck_fetch_items_state_known"),
    )
    op.create_index("ix_fetch_items_fetch_id", "fetch_items", ["fetch_id"])
    op.create_index("ix_fetch_items_state_next_at", "fetch_items", ["state", "next_at"])


def _create_held_studies() -> None:
    op.create_table(
        "held_studies",
        sa.Column("orthanc_id", sa.Text, nullable=False),
        sa.Column("last_update", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False, server_default="") for name in TEXTS),
        sa.Column("series", sa.Integer, nullable=False),
        sa.Column("instances", sa.Integer, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("orthanc_id", name="pk_held_studies"),
    )
    for name in ("study_instance_uid", "received_at", "study_date", "folded_patient", "source"):
        op.create_index(f"ix_held_studies_{name}", "held_studies", [name])
    for name in SEARCHED:
        op.create_index(
            f"ix_held_studies_{name}_searched",
            "held_studies",
            [name],
            postgresql_using="gin",
            postgresql_ops={name: "gin_trgm_ops"},
        )
