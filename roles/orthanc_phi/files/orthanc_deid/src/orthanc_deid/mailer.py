# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns what happened into mails, and sends what waits. Nothing else depends on it.

The crosswalk's events are read in their order, each once. Whatever goes wrong with a mail, it
waits; no study waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from orthanc_deid import mail_sending
from orthanc_deid.events import now
from orthanc_deid.figures import Figures
from orthanc_deid.mail_config import MailConfig
from orthanc_deid.mail_outbox import AUTOMATIC, CURSOR, Mail, Outbox
from orthanc_deid.mail_reports import Cause, Content, Reports
from orthanc_deid.schema import events, studies
from orthanc_deid.states import State

log = logging.getLogger(__name__)

REPORT_ASKED: Final = "report asked for"
_LOCK: Final = 0x6D61696C  # one worker at a time
_READ_AT_ONCE: Final = 500
# A transaction that began earlier may end later; by then all are there.
_SETTLED: Final = timedelta(seconds=3)
_FAILED_ATTEMPTS: Final = 5

_KIND_OF_ACTION: Final = {
    State.STABLE: "stable",
    State.QUEUED: "stable",
    State.DELIVERING: "anonymized",
    State.REVIEW: "review",
    State.DELIVERED: "delivered",
    State.QUARANTINED: "quarantined",
    State.WITHDRAWN: "withdrawn",
    REPORT_ASKED: "report",
}


class Mailer:
    """Writes and sends the mails of one site."""

    SECONDS: Final = 15.0  # how often a worker looks for what is to be mailed

    def __init__(self, mail: MailConfig, zone: str, engine: sa.Engine) -> None:
        self._mail = mail
        self._engine = engine
        self._outbox = Outbox(engine)
        self._reports = Reports(mail, zone)
        self._zone = ZoneInfo(zone)
        self._figures = Figures(engine, zone)

    def run(self) -> None:
        """Write what is to be told and send what waits, unless another worker does so now."""
        try:
            with self._engine.connect() as connection:
                if not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK))):
                    return
                try:
                    self._write()
                    self._send()
                finally:
                    connection.execute(sa.select(sa.func.pg_advisory_unlock(_LOCK)))
        except SQLAlchemyError as error:
            log.warning("mails wait: the crosswalk does not answer", exc_info=error)

    def _write(self) -> None:
        with self._engine.begin() as connection:
            automatic = self._outbox.setting(connection, AUTOMATIC) != "false"
            for cause in self._new_causes(connection):
                if automatic or cause.kind == "report":
                    self._report(connection, cause)
            if automatic:
                for cause in _failing(connection):
                    self._report(connection, cause)
                self._write_digest(connection)

    def _report(self, connection: sa.Connection, cause: Cause) -> None:
        recipients = self._recipients(cause.kind)
        letter = self._reports.of_study(connection, cause) if recipients else None
        if letter:
            self._outbox.put(connection, letter, recipients)

    def _recipients(self, kind: str) -> list[str]:
        return [one.address for one in self._mail.recipients if kind in one.kinds]

    def _new_causes(self, connection: sa.Connection) -> Iterator[Cause]:
        """Yield what happened since the last look; at the very first, nothing of the past."""
        last = self._outbox.setting(connection, CURSOR)
        if last is None:
            newest = connection.scalar(sa.select(sa.func.max(events.c.id))) or 0
            self._outbox.remember(connection, CURSOR, str(newest))
            return
        query = (
            sa.select(events)
            .where(events.c.id > int(last), events.c.at < now() - _SETTLED)
            .order_by(events.c.id)
            .limit(_READ_AT_ONCE)
        )
        rows = connection.execute(query).all()
        for row in rows:
            if row.study_id is not None and (kind := _KIND_OF_ACTION.get(row.action)):
                yield Cause(kind, row.study_id, row.actor, _key(connection, kind, row))
        if rows:
            self._outbox.remember(connection, CURSOR, str(rows[-1].id))

    def _write_digest(self, connection: sa.Connection) -> None:
        local = now().astimezone(self._zone)
        recipients = self._recipients("digest")
        if not recipients or local.hour < self._mail.digest_hour:
            return
        figures = {**self._figures.now(), "history": self._figures.history()}
        headline = f"De-identification on {local:%Y-%m-%d}"
        facts = list(_digest_facts(figures, local))
        content = Content(headline, facts, "", "extra/work/work.html")
        letter = self._reports.letter(f"digest:{local:%Y-%m-%d}", content)
        self._outbox.put(connection, letter, recipients)

    def _send(self) -> None:
        mail_sending.send(self._mail, self._outbox.due(), self._sent, self._failed)
        if lost := self._outbox.forget():
            log.warning("mails were given up after a month", extra={"mails": lost})

    def _sent(self, mail: Mail) -> None:
        self._outbox.sent(mail)

    def _failed(self, mail: Mail, error: str) -> None:
        self._outbox.postpone(mail, error)
        log.warning("a mail waits", extra={"reason": error})


def _key(connection: sa.Connection, kind: str, event: Any) -> str:
    """Return the same for what need not be told again: a study tried twice arrived once.

    What happens after a delivery is told anew; so is each other reason for which a study waits.
    """
    if kind == "report":
        return f"report:{event.id}"
    delivered = connection.scalar(
        sa.select(sa.func.count()).where(
            events.c.study_id == event.study_id,
            events.c.action == State.DELIVERED,
            events.c.id < event.id,
        )
    )
    reason = (event.detail or "").partition(":")[0] if kind == "quarantined" else ""
    return f"{kind}:{event.study_id}:{delivered}:{reason}"


def _failing(connection: sa.Connection) -> list[Cause]:
    """Return the studies that have been tried again and again, each once a day."""
    query = sa.select(studies.c.id).where(
        studies.c.state == State.QUEUED, studies.c.attempts >= _FAILED_ATTEMPTS
    )
    day = f"{now():%Y-%m-%d}"
    return [
        Cause("failed", study_id, "", f"failed:{study_id}:{day}")
        for study_id in connection.scalars(query)
    ]


def _digest_facts(figures: dict[str, Any], local: datetime) -> Iterable[tuple[str, str]]:
    """Yield what one wants to know in the morning, in few lines."""
    yesterday = f"{local - timedelta(days=1):%Y-%m-%d}"
    for row in figures["history"]["days"]:
        if row["day"] == yesterday:
            yield f"Delivered yesterday to {row['destination']}", f"{row['studies']} studies"
    states = figures["studies"]
    yield "Waiting for a person", str(states.get("quarantined", 0) + states.get("review", 0))
    queue = figures["queue"]
    oldest = queue["oldest_seconds"]
    yield (
        "In the queue",
        f"{queue['length']}" + (f", the oldest for {oldest // 60} min" if oldest else ""),
    )
    for row in figures["destinations"]:
        yield f"Trouble at {row['destination']}", f"{row['waiting']} studies wait: {row['error']}"
    yield "Workers alive", str(sum(1 for worker in figures["workers"] if worker.get("alive", True)))
    backup = figures["backup"]
    yield "Last good backup", backup["success"] or "none"
    if backup["error"]:
        yield "The last backup failed", backup["error"]
    for disk in figures["disks"]:
        yield f"Free on the {disk['name']}", f"{100 * disk['free'] // max(disk['total'], 1)} %"
