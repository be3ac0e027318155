# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mails say, as text and as HTML. Without the site's leave none says who a patient is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

import jinja2
import sqlalchemy as sa

from orthanc_deid.mail_config import MailConfig
from orthanc_deid.mail_outbox import Letter
from orthanc_deid.schema import deliveries, lookup, studies, subjects

HEADLINES: Final = {
    "stable": "Study {number} has arrived",
    "anonymized": "Study {number} has been anonymized",
    "review": "Study {number} waits to be looked at before it goes out",
    "delivered": "Study {number} has been delivered",
    "quarantined": "Study {number} is held back and needs a person",
    "failed": "Study {number} cannot be delivered so far",
    "withdrawn": "Study {number} has been withdrawn",
    "report": "Report on study {number}",
}
ADVICE: Final = {
    "quarantined": "Nothing of it has left. Look at the reason, then release or reject it.",
    "failed": "Nothing is lost: it is tried until it succeeds. Look at the destination.",
    "review": "Look at the result, then release or reject it.",
}
PAGE: Final = "extra/scrub/study_anonymize.html"
PAGES: Final = dict.fromkeys(("quarantined", "review"), "extra/review/quarantine.html")
FOOTER: Final = (
    "Sent by the PHI Orthanc's service for de-identification. Answers are read by nobody."
)

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("orthanc_deid", "mail_templates"),
    autoescape=jinja2.select_autoescape(["html.j2"]),
    trim_blocks=True,
    undefined=jinja2.StrictUndefined,
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a report is written: the kind of mail, the study, and who asked."""

    kind: str
    study_id: int
    actor: str
    key: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a letter holds: facts with their labels, what to do, and the page that it leads to."""

    headline: str
    facts: list[tuple[str, str]]
    advice: str
    page: str


class Reports:
    """Writes letters about studies, as one site wants them."""

    def __init__(self, config: MailConfig, zone: str) -> None:
        self._config = config
        self._zone = ZoneInfo(zone)

    def of_study(self, connection: sa.Connection, cause: Cause) -> Letter | None:
        """Return the letter about a study; None if the study is not there any more."""
        row = connection.execute(
            sa.select(studies, subjects.c.number)
            .outerjoin(subjects, subjects.c.id == studies.c.subject_id)
            .where(studies.c.id == cause.study_id)
        ).first()
        if row is None:
            return None
        study = dict(row._mapping)
        facts = self._facts(study, cause) + _sent_to(connection, cause.study_id)
        if self._config.identities:
            facts += _identity(connection, cause.study_id)
        headline = HEADLINES[cause.kind].format(number=cause.study_id)
        page = PAGES.get(cause.kind, PAGE)
        content = Content(headline, facts, ADVICE.get(cause.kind, ""), page)
        return self.letter(cause.key, content)

    def letter(self, key: str, content: Content) -> Letter:
        """Return a letter as text and as HTML."""
        values = {
            **{name: getattr(content, name) for name in ("headline", "facts", "advice")},
            "link": self._config.link + content.page if self._config.link else "",
            "footer": FOOTER,
        }
        text, html = (
            _TEMPLATES.get_template(f"report.{form}.j2").render(values) for form in ("txt", "html")
        )
        return Letter(key, content.headline, text, html)

    def _facts(self, study: dict[str, Any], cause: Cause) -> list[tuple[str, str]]:
        """Return what may be told of any study: nothing of it belongs to the patient."""
        record = study["record"] or {}
        since = study["updated_at"].astimezone(self._zone)
        facts = [
            ("Study", f"{study['id']} in the crosswalk"),
            ("Project", study["project"]),
            ("State", f"{study['state']} since {since:%Y-%m-%d %H:%M %Z}"),
            ("Subject", "" if study["number"] is None else f"{study['number']:06d}"),
            ("Instances", str(study["source_instances"] or record.get("instances") or "")),
            ("Reason", study["reason"] or ""),
            ("Attempts", str(study["attempts"] or "")),
            ("Asked for by", cause.actor if cause.kind == "report" else ""),
        ]
        return [(label, value) for label, value in facts if value]


def _sent_to(connection: sa.Connection, study_id: int) -> list[tuple[str, str]]:
    query = (
        sa.select(deliveries)
        .where(deliveries.c.study_id == study_id)
        .order_by(deliveries.c.destination)
    )
    return [
        (
            f"At {row.destination}",
            f"{row.instances} instances"
            if row.state == "delivered"
            else row.last_error or row.state,
        )
        for row in connection.execute(query)
    ]


def _identity(connection: sa.Connection, study_id: int) -> list[tuple[str, str]]:
    row = connection.execute(sa.select(lookup).where(lookup.c.study_id == study_id)).first()
    if row is None:
        return []
    facts = [
        ("Patient", row.patient_name),
        ("Patient ID", row.patient_id),
        ("Accession", row.accession),
        ("Study date", row.study_date),
        ("Pseudonym", row.pseudonym),
    ]
    return [(label, value) for label, value in facts if value]
