# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation costs as that on which it works grows."""

from __future__ import annotations

import sys
from pathlib import Path

# The writer of Disk's tree is no package: the role places these files beside each other.
_ROLES = Path(__file__).resolve().parents[2] / "roles"
sys.path += [str(_ROLES / "orthanc_disk/files"), str(_ROLES / "orthanc_instance/files")]
