# SPDX-License-Identifier: GPL-3.0-or-later
"""The Alembic migrations of the crosswalk database."""
