# SPDX-License-Identifier: GPL-3.0-or-later
"""What Alembic runs a migration with: the connection that `migrate.upgrade` opened."""

from alembic import context

from orthanc_deid.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
