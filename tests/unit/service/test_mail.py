# SPDX-License-Identifier: GPL-3.0-or-later
"""Mails from a real crosswalk to a real SMTP server: what they tell, and what waits."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller

from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.events import add_event
from orthanc_deid.mail_config import KINDS, MailConfig, Recipient, Relay, read_mail
from orthanc_deid.mail_outbox import AUTOMATIC, Outbox
from orthanc_deid.mailer import REPORT_ASKED, Mailer
from orthanc_deid.settings_reader import Reader
from orthanc_deid.states import State

from .test_subjects import send_out

BROKER = "broker@example.org"


class Sink:
    """An SMTP server that keeps what it is given, or refuses it."""

    def __init__(self) -> None:
        self.refuse = False
        self.messages: list[tuple[list[str], EmailMessage]] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refuse:
            return "451 4.3.0 come back later"
        message = message_from_bytes(envelope.content, policy=default)
        self.messages.append((envelope.rcpt_tos, message))  # type: ignore[arg-type]
        return "250 OK"

    def subjects(self) -> list[str]:
        return [message["Subject"] for _, message in self.messages]


@pytest.fixture
def sink() -> Iterator[tuple[Sink, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sink = Sink()
    controller = Controller(sink, hostname="127.0.0.1", port=port)
    controller.start()
    yield sink, port
    controller.stop()


@pytest.fixture
def crosswalk(database: sa.URL) -> Iterator[Crosswalk]:
    opened = Crosswalk(database, base_name="DEMO")
    yield opened
    opened.close()


def settings(port: int, *kinds: str) -> MailConfig:
    return MailConfig(
        sender="images@example.org",
        recipients=(Recipient(BROKER, frozenset(kinds or KINDS) - {"digest"}),),
        relay=Relay("127.0.0.1", port, "none", "", "", ""),
        identities=False,
        link="https://images.example.org/orthanc-phi/",
        digest_hour=0,
    )


def settle(crosswalk: Crosswalk) -> None:
    """Let what happened be long enough ago, and what waits be due."""
    with crosswalk.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET at = at - interval '1 minute'")
        connection.exec_driver_sql("UPDATE mails SET next_at = now() - interval '1 second'")


def mailer(config: MailConfig, crosswalk: Crosswalk) -> Mailer:
    """A mailer that has had its first look."""
    made = Mailer(config, "Europe/Berlin", crosswalk.engine)
    made.run()
    return made


def run(crosswalk: Crosswalk, config: MailConfig) -> None:
    settle(crosswalk)
    Mailer(config, "Europe/Berlin", crosswalk.engine).run()


def identity(crosswalk: Crosswalk, study_id: int) -> None:
    with crosswalk.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO lookup (study_id, project, patient_name, patient_id, source)"
            f" VALUES ({study_id}, 'default', 'DOE^JANE', 'MRN-1', 'study')"
            " ON CONFLICT (study_id) DO UPDATE SET patient_name = 'DOE^JANE', patient_id = 'MRN-1'"
        )


def test_what_happens_to_a_study_is_told_once_to_those_who_want_it(
    crosswalk: Crosswalk, sink: tuple[Sink, int]
) -> None:
    server, port = sink
    config = settings(port, "stable", "delivered")
    mailer(config, crosswalk)
    send_out(crosswalk, "MRN-1")

    run(crosswalk, config)
    run(crosswalk, config)

    assert server.subjects() == ["Study 1 has arrived", "Study 1 has been delivered"]
    assert server.messages[0][0] == [BROKER]


def test_the_past_is_not_told_when_mails_are_switched_on(
    crosswalk: Crosswalk, sink: tuple[Sink, int]
) -> None:
    server, port = sink
    send_out(crosswalk, "MRN-1")

    run(crosswalk, settings(port))
    run(crosswalk, settings(port))

    assert server.subjects() == []


@pytest.mark.parametrize("identities", [False, True])
def test_an_identity_is_in_a_mail_only_where_the_site_wants_it(
    crosswalk: Crosswalk, sink: tuple[Sink, int], *, identities: bool
) -> None:
    server, port = sink
    config = replace(settings(port), identities=identities)
    mailer(config, crosswalk)
    send_out(crosswalk, "MRN-1")
    identity(crosswalk, 1)

    run(crosswalk, config)

    assert server.messages
    for _, message in server.messages:
        assert ("DOE^JANE" in message.as_string()) == identities
        assert ("MRN-1" in message.as_string()) == identities


def test_a_mail_has_text_html_and_a_link_and_no_markup_from_outside(
    crosswalk: Crosswalk, sink: tuple[Sink, int]
) -> None:
    server, port = sink
    config = settings(port, "quarantined")
    mailer(config, crosswalk)
    study = crosswalk.studies.add(orthanc_id="s-1")
    crosswalk.studies.move(study.id, State.QUEUED)
    crosswalk.studies.move(study.id, State.WORKING)
    crosswalk.studies.move(study.id, State.QUARANTINED, reason="odd: <script>alert(1)</script>")

    run(crosswalk, config)

    ((_, message),) = server.messages
    text = message.get_body(["plain"]).get_content()  # type: ignore[union-attr]
    html = message.get_body(["html"]).get_content()  # type: ignore[union-attr]
    assert "Reason: odd: <script>alert(1)</script>" in text
    assert "https://images.example.org/orthanc-phi/extra/review/quarantine.html" in text
    assert "<script>" not in html
    assert message["Auto-Submitted"] == "auto-generated"


def test_what_the_relay_does_not_take_waits_until_it_does(
    crosswalk: Crosswalk, sink: tuple[Sink, int]
) -> None:
    server, port = sink
    config = settings(port, "delivered")
    mailer(config, crosswalk)
    send_out(crosswalk, "MRN-1")
    server.refuse = True
    run(crosswalk, config)
    away = replace(config, relay=replace(config.relay, port=1))
    run(crosswalk, away)

    count, oldest, error = Outbox(crosswalk.engine).waiting()
    assert (count, oldest is not None) == (1, True)
    assert "127.0.0.1:1: Connection refused" in (error or "")
    assert BROKER not in (error or "")

    server.refuse = False
    run(crosswalk, config)
    assert server.subjects() == ["Study 1 has been delivered"]
    assert Outbox(crosswalk.engine).waiting() == (0, None, None)
    with crosswalk.engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT subject, text, html FROM mails").all()
    assert [tuple(row) for row in kept] == [("", "", "")]


def test_with_automatic_mails_off_only_reports_that_were_asked_for_go_out(
    crosswalk: Crosswalk, sink: tuple[Sink, int]
) -> None:
    server, port = sink
    config = settings(port)
    mailer(config, crosswalk)
    outbox = Outbox(crosswalk.engine)
    with crosswalk.engine.begin() as connection:
        outbox.remember(connection, AUTOMATIC, "false")
    send_out(crosswalk, "MRN-1")
    with crosswalk.engine.begin() as connection:
        add_event(connection, "hana", REPORT_ASKED, 1)

    run(crosswalk, config)

    ((_, message),) = server.messages
    assert message["Subject"] == "Report on study 1"
    assert "Asked for by: hana" in message.get_body(["plain"]).get_content()  # type: ignore[union-attr]


def test_a_study_that_fails_again_and_again_is_told_once_a_day(
    crosswalk: Crosswalk, sink: tuple[Sink, int]
) -> None:
    server, port = sink
    config = settings(port, "failed")
    mailer(config, crosswalk)
    study = crosswalk.studies.add(orthanc_id="s-1")
    crosswalk.studies.move(study.id, State.QUEUED, attempts=5, reason="anon: cannot be reached")

    run(crosswalk, config)
    run(crosswalk, config)

    assert server.subjects() == ["Study 1 cannot be delivered so far"]


def test_the_digest_of_a_day_goes_out_once(crosswalk: Crosswalk, sink: tuple[Sink, int]) -> None:
    server, port = sink
    config = replace(settings(port), recipients=(Recipient(BROKER, frozenset({"digest"})),))
    mailer(config, crosswalk)
    run(crosswalk, config)
    run(crosswalk, config)

    ((_, message),) = server.messages
    assert message["Subject"].startswith("De-identification on 20")
    assert "Waiting for a person: 0" in message.get_body(["plain"]).get_content()  # type: ignore[union-attr]


def test_every_mistake_in_the_settings_is_told_with_its_fix() -> None:
    reader = Reader(
        {
            "mail": {
                "from": "images",
                "to": [{"address": BROKER, "events": ["everything"]}],
                "relay": {"host": "mx.example.org", "user": "images", "tls": "ssl"},
                "digest_hour": 25,
            }
        }
    )
    read_mail(reader)
    assert [problem.partition(":")[0] for problem in reader.problems] == [
        "mail.from",
        "mail.to[0].events",
        "mail.relay.tls",
        "mail.relay.user",
        "mail.digest_hour",
    ]
