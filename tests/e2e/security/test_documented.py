# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from deployed import ROOT


def test_every_attack_stands_in_the_documentation(request: pytest.FixtureRequest) -> None:
    told = (ROOT / "docs/security.md").read_text()
    markers = [item.get_closest_marker("attack") for item in request.session.items]
    rows = {f"| {' | '.join(marker.args)} |" for marker in markers if marker}

    assert rows
    assert [row for row in sorted(rows) if row not in told] == []
