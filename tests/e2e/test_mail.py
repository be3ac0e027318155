"""Mails of a deployed site, through its exim, to a mail server that is sometimes away."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller

import deployed
from planted import planted_study

RELAY = "e2e-phi-mail"


class MailServer:
    """The site's mail server, which can be switched off and on."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self._controller: Controller | None = None

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        assert envelope.mail_from == "images@example.org"
        assert envelope.rcpt_tos == ["broker@example.org"]
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"

    def on(self) -> None:
        self._controller = Controller(self, hostname="172.17.0.1", port=28025)
        self._controller.start()

    def off(self) -> None:
        if self._controller:
            self._controller.stop()
        self._controller = None

    def has(self, subject: str) -> EmailMessage | None:
        return next((mail for mail in self.mails if subject in mail["Subject"]), None)


@pytest.fixture
def server() -> Iterator[MailServer]:
    server = MailServer()
    server.on()
    yield server
    server.off()


def deliver() -> tuple[str, int, list[str]]:
    """Take a study through the site; returns its UID and number, and what was planted."""
    instances, planted = planted_study("CT_small.dcm", 1)
    uid = instances[0].StudyInstanceUID
    deployed.send(instances)
    deployed.delivered(uid, 1)
    return uid, deployed.state(uid)["study"], planted


def mails() -> dict[str, Any]:
    with deployed.client("phi", "honest_broker") as broker:
        state: dict[str, Any] = broker.get("/deid/v1/mail").raise_for_status().json()
    return state


def test_a_delivery_is_mailed_without_an_identity(server: MailServer) -> None:
    _, study, planted = deliver()

    mail = deployed.wait_for("the mail", lambda: server.has(f"Study {study} has been delivered"))

    assert mail["From"] == "images@example.org"
    assert not [text for text in planted if text in mail.as_string()]
    assert "https://localhost:28443/e2e-phi/" in mail.as_string()


def test_mails_wait_while_relay_and_server_are_away_and_no_study_does(server: MailServer) -> None:
    server.off()
    deployed.docker("stop", "--time", "5", RELAY)
    try:
        _, study, _ = deliver()
        deployed.wait_for("a mail that waits", lambda: mails()["last_error"])
        assert mails()["waiting"]
    finally:
        deployed.docker("start", RELAY)
    deployed.wait_for("exim has taken it", lambda: mails()["waiting"] == 0, 240)
    assert not server.mails

    server.on()
    deployed.docker("exec", RELAY, "exim4", "-C", "/etc/exim/exim.conf", "-qff")
    assert deployed.wait_for("it", lambda: server.has(f"Study {study} has been delivered"), 180)


def test_a_report_is_mailed_on_request_also_without_automatic_mails(server: MailServer) -> None:
    uid, study, _ = deliver()
    with deployed.client("phi", "honest_broker") as broker:
        broker.put("/deid/v1/mail", json={"automatic": False}).raise_for_status()
        try:
            orthanc_id = deployed.orthanc_id("phi", uid)
            broker.post(f"/deid/v1/studies/{orthanc_id}/report").raise_for_status()
            mail = deployed.wait_for("it", lambda: server.has(f"Report on study {study}"))
        finally:
            broker.put("/deid/v1/mail", json={"automatic": True}).raise_for_status()
    assert "Asked for by" in mail.as_string()
