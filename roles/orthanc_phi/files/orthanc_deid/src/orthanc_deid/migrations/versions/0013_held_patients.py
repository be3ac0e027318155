# SPDX-License-Identifier: GPL-3.0-or-later
"""The studies of one patient on the PHI Orthanc are found by an index."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_held_studies_patient_id", "held_studies", ["patient_id"])
