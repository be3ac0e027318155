# SPDX-License-Identifier: GPL-3.0-or-later
"""What persons decide about a study, and what lies at each destination."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

STATES = (
    "'received', 'stable', 'queued', 'working', 'review', 'delivering', 'delivered', "
    "'quarantined', 'rejected', 'withdrawing', 'withdrawn'"
)
DELIVERY_STATES = "'pending', 'delivered', 'left_out', 'withdrawn', 'left'"


def upgrade() -> None:
    """Add the columns and states; what was delivered is known to be there."""
    _allow_states("studies", STATES)
    _allow_states("deliveries", DELIVERY_STATES)
    for column in (
        sa.Column("profile", sa.Text),
        sa.Column("review", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("findings", sa.JSON(none_as_null=True)),
        sa.Column("accepted", sa.JSON(none_as_null=True)),
    ):
        op.add_column("studies", column)
    for name in ("anonymous_study_uid", "profile_digest"):
        op.add_column("deliveries", sa.Column(name, sa.Text))
    op.execute(
        "UPDATE deliveries SET anonymous_study_uid = "
        "(SELECT s.anonymous_study_uid FROM studies s WHERE s.id = study_id), profile_digest = "
        "(SELECT s.record ->> 'profile_digest' FROM studies s WHERE s.id = study_id)"
    )


def _allow_states(name: str, states: str) -> None:
    known = op.f(f"ck_{name}_state_known")
    with op.batch_alter_table(name) as table:
        table.drop_constraint(known, type_="check")
        table.create_check_constraint(known, f"state IN ({states})")
