# SPDX-License-Identifier: GPL-3.0-or-later
"""The mails that wait in the crosswalk: each is written once, and stays until it is sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from orthanc_deid import database
from orthanc_deid.events import now
from orthanc_deid.schema import mail_settings, mails

KEPT: Final = timedelta(days=30)
FIRST_PAUSE: Final = timedelta(minutes=1)
LONGEST_PAUSE: Final = timedelta(hours=1)
AT_ONCE: Final = 50

CURSOR: Final = "last_event"
AUTOMATIC: Final = "automatic"


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail says; `key` is the same whenever the same thing would be told again."""

    key: str
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one recipient that is to be sent."""

    id: int
    recipient: str
    subject: str
    text: str
    html: str
    attempts: int


class Outbox:
    """The mails of the crosswalk, and what is remembered about them."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def put(self, connection: sa.Connection, letter: Letter, recipients: Iterable[str]) -> None:
        """Write a mail to each recipient, unless the same was written to them before."""
        for recipient in recipients:
            connection.execute(
                database.insert(connection, mails)
                .values(
                    key=letter.key,
                    recipient=recipient,
                    subject=letter.subject,
                    text=letter.text,
                    html=letter.html,
                    created_at=now(),
                    next_at=now(),
                )
                .on_conflict_do_nothing()
            )

    def due(self) -> list[Mail]:
        """Return the mails whose time has come, the oldest first."""
        query = (
            sa.select(*(mails.c[name] for name in Mail.__dataclass_fields__))
            .where(mails.c.sent_at.is_(None), mails.c.next_at <= now())
            .order_by(mails.c.id)
            .limit(AT_ONCE)
        )
        with self._engine.connect() as connection:
            return [Mail(**row._mapping) for row in connection.execute(query)]

    def sent(self, mail: Mail) -> None:
        """Note that a mail was taken by the relay, and forget what it said."""
        self._note(mail, sent_at=now(), last_error=None, subject="", text="", html="")

    def postpone(self, mail: Mail, error: str) -> None:
        """Note why a mail could not be sent; it is tried again later and later."""
        pause = min(FIRST_PAUSE * 2 ** min(mail.attempts, 10), LONGEST_PAUSE)
        self._note(mail, attempts=mail.attempts + 1, last_error=error, next_at=now() + pause)

    def _note(self, mail: Mail, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(mails.update().where(mails.c.id == mail.id).values(**values))

    def waiting(self) -> tuple[int, datetime | None, str | None]:
        """Return how many mails wait, since when the oldest does, and the last error."""
        where = mails.c.sent_at.is_(None)
        with self._engine.connect() as connection:
            count, oldest = connection.execute(
                sa.select(sa.func.count(), sa.func.min(mails.c.created_at)).where(where)
            ).one()
            error = connection.scalar(
                sa.select(mails.c.last_error)
                .where(where, mails.c.last_error.is_not(None))
                .order_by(mails.c.next_at.desc())
                .limit(1)
            )
        return count, oldest, error

    def forget(self) -> int:
        """Delete mails that are older than a month; returns how many were never sent."""
        old = mails.c.created_at < now() - KEPT
        with self._engine.begin() as connection:
            lost = connection.execute(mails.delete().where(old, mails.c.sent_at.is_(None)))
            connection.execute(mails.delete().where(old))
        return lost.rowcount

    def setting(self, connection: sa.Connection, name: str) -> str | None:
        """Return what is remembered under `name`."""
        return connection.scalar(
            sa.select(mail_settings.c.value).where(mail_settings.c.name == name)
        )

    def remember(self, connection: sa.Connection, name: str, value: str) -> None:
        """Remember a value under `name`."""
        connection.execute(
            database.insert(connection, mail_settings)
            .values(name=name, value=value)
            .on_conflict_do_update(index_elements=[mail_settings.c.name], set_={"value": value})
        )

    def is_automatic(self) -> bool:
        """Whether studies are reported without being asked for."""
        with self._engine.connect() as connection:
            return self.setting(connection, AUTOMATIC) != "false"
