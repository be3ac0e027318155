# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands mails to the site's relay by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Final

from orthanc_deid.mail_config import MailConfig, Relay
from orthanc_deid.mail_outbox import Mail

SECONDS: Final = 20.0


def send(
    config: MailConfig,
    mails: Iterable[Mail],
    sent: Callable[[Mail], None],
    failed: Callable[[Mail, str], None],
) -> None:
    """Send mails over one connection; calls `sent` or `failed` for each of them."""
    waiting = list(mails)
    try:
        with _connect(config.relay) as server:
            while waiting:
                mail = waiting[0]
                try:
                    server.send_message(message(config, mail), config.sender, [mail.recipient])
                except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as error:
                    failed(waiting.pop(0), _words(error))
                else:
                    sent(waiting.pop(0))
    except (OSError, smtplib.SMTPException) as error:
        for mail in waiting:
            failed(mail, f"{config.relay.host}:{config.relay.port}: {_words(error)}")


def message(config: MailConfig, mail: Mail) -> EmailMessage:
    """Return a mail as text and HTML."""
    made = EmailMessage()
    made["From"] = config.sender
    made["To"] = mail.recipient
    made["Subject"] = mail.subject
    made["Date"] = formatdate(localtime=False)
    # The same each time that it is tried, so that a mail which arrived twice can be told.
    made["Message-ID"] = make_msgid(f"orthanc-deid-{mail.id}", config.sender.rpartition("@")[2])
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(mail.text)
    made.add_alternative(mail.html, subtype="html")
    return made


def _connect(relay: Relay) -> smtplib.SMTP:
    context = ssl.create_default_context(cadata=relay.ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if relay.tls == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            relay.host, relay.port, timeout=SECONDS, context=context
        )
    else:
        server = smtplib.SMTP(relay.host, relay.port, timeout=SECONDS)
    try:
        if relay.tls == "starttls":
            server.starttls(context=context)
        if relay.user:
            server.login(relay.user, relay.password)
    except BaseException:
        server.close()
        raise
    return server


def _words(error: Exception) -> str:
    """Return why the relay did not take a mail, without any address of a recipient."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, reply = next(iter(error.recipients.values()))
            return f"{code} {reply.decode('utf-8', 'replace')}"
        case smtplib.SMTPResponseException():
            told = error.smtp_error
            words = told.decode("utf-8", "replace") if isinstance(told, bytes) else told
            return f"{error.smtp_code} {words}"
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return str(error) or type(error).__name__
