# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the crosswalk: a server that answers nothing is given up, and asked later."""

from __future__ import annotations

from threading import Thread

import pytest
import sqlalchemy as sa

from orthanc_deid import database as database_module


def test_a_server_that_does_not_answer_is_given_up_in_time(
    database: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "STATEMENT_SECONDS", 1)
    engine = database_module.connect(database)
    failures: list[str] = []

    def ask() -> None:
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT pg_sleep(60)")
        except sa.exc.OperationalError as error:
            failures.append(str(error))

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(20)
    assert not asking.is_alive()
    assert "did not answer within 1 s" in failures[0]
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    engine.dispose()
