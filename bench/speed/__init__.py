# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast instances are de-identified, and with how much memory."""
