# SPDX-License-Identifier: GPL-3.0-or-later
"""How many instances a whole site takes in a second, on containers that the playbooks deploy."""
