# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that never run out: each day they are looked at, renewed in time, and followed.

Runs on the host with its own Python, 3.9 or later, the standard library and the programs openssl
and docker.
"""
