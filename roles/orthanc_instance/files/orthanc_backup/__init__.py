# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of one Orthanc's databases and secrets, each proven by restoring it.

Runs on the host with its own Python, 3.9 or later, and the standard library only. PostgreSQL's
programs run in the server's own container, so their version is always the right one.
"""
