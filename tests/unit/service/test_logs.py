# SPDX-License-Identifier: GPL-3.0-or-later
"""What libraries would write of a data set does not get into the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from orthanc_deid import logs


@pytest.fixture
def restored() -> Iterator[None]:
    """Give the tests their own log back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("name", ["pynetdicom.service-c", "pydicom", "httpx", "procrastinate.jobs"])
def test_a_library_that_writes_identifiers_is_quiet(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure()
    logging.getLogger(name).info("(0010,0010) PN [DOE^JANE]")
    logging.getLogger("orthanc_deid.worker").info("delivered", extra={"study": 7})

    told = capsys.readouterr().err
    assert "DOE" not in told
    assert '"study": 7' in told
