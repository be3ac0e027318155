# SPDX-License-Identifier: GPL-3.0-or-later
"""How well identifiers are taken out: planting, expectation, judgement."""
