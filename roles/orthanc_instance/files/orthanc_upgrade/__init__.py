# SPDX-License-Identifier: GPL-3.0-or-later
"""An upgrade of one Orthanc that can be gone back on: what ran is put aside, not thrown away.

Runs on the host with its own Python, 3.9 or later, the standard library and docker.
"""
