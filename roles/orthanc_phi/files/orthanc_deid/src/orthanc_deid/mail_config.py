# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the mails: who gets which, and by which relay."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from orthanc_deid.settings_reader import Reader

KINDS: Final = (
    "stable",
    "anonymized",
    "review",
    "delivered",
    "quarantined",
    "failed",
    "withdrawn",
    "report",
    "digest",
)
"""What a mail may tell of; each recipient names those that it wants."""

ADDRESS: Final = re.compile(r"[^@\s<>,;\"']+@[^@\s<>,;\"']+")


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who gets mails."""

    address: str
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Relay:
    """The server that takes the mails; `ca`, in PEM, or whom the system trusts signs for it."""

    host: str
    port: int
    tls: Literal["none", "starttls", "tls"]
    user: str
    ca: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MailConfig:
    """All about mails.

    Attributes:
        identities: whether a mail may say who the patient is.
        link: where people reach the PHI Orthanc, with a slash at the end; may be empty.
        digest_hour: the hour of the site's zone after which the day's digest goes out.
    """

    sender: str
    recipients: tuple[Recipient, ...]
    relay: Relay
    identities: bool
    link: str
    digest_hour: int


def read_mail(reader: Reader) -> MailConfig | None:
    """Read the section `mail`; without recipients there are no mails."""
    section = reader.take("mail", dict, {})
    if not section:
        return None
    inside = Reader(section, "mail.", reader.problems)
    config = MailConfig(
        sender=_read_address(inside, "from"),
        recipients=tuple(_read_recipient(item) for item in inside.each("to")),
        relay=_read_relay(inside.inside("relay")),
        identities=inside.take("identities", bool, False),
        link=inside.take("link", str, ""),
        digest_hour=inside.number("digest_hour", 0, 23, 7),
    )
    inside.refuse_unknown()
    return config if config.recipients else None


def check_mail(given: object) -> list[str]:
    """Return what is wrong with the settings of mails, each with its fix."""
    reader = Reader({"mail": given})
    read_mail(reader)
    return reader.problems


def _read_recipient(reader: Reader) -> Recipient:
    kinds = reader.texts("events")
    for kind in kinds:
        if kind not in KINDS:
            reader.wrong("events", f"{kind!r} is none; use {', '.join(KINDS)}")
    recipient = Recipient(_read_address(reader, "address"), frozenset(kinds))
    reader.refuse_unknown()
    return recipient


def _read_address(reader: Reader, key: str) -> str:
    address = reader.text(key)
    if address and not ADDRESS.fullmatch(address):
        reader.wrong(key, f"must be one address such as images@example.org, not {address!r}")
    return address


def _read_relay(reader: Reader) -> Relay:
    relay = Relay(
        host=reader.text("host"),
        port=reader.number("port", 1, 65535, 25),
        tls=reader.choice("tls", ("none", "starttls", "tls"), "none"),
        user=reader.take("user", str, ""),
        password=reader.take("password", str, ""),
        ca=reader.take("ca", str, ""),
    )
    if bool(relay.user) != bool(relay.password):
        reader.wrong("user", "and password go together; give both or none")
    if relay.user and relay.tls == "none":
        reader.wrong("tls", "must be starttls or tls, since a password would be sent readable")
    reader.refuse_unknown()
    return relay
