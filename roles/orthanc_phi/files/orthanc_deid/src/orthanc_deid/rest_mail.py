# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about mails: whether they go out by themselves, and reports on request."""

from __future__ import annotations

from orthanc_deid.agent_client import Answer
from orthanc_deid.api import ApiError, Request, Route
from orthanc_deid.config import Config
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.events import add_event
from orthanc_deid.mail_outbox import AUTOMATIC, Outbox
from orthanc_deid.mailer import REPORT_ASKED


class MailRoutes:
    """The answers about the mails of the site."""

    def __init__(self, config: Config, crosswalk: Crosswalk) -> None:
        self._mail = config.mail
        self._studies = crosswalk.studies
        self._engine = crosswalk.engine
        self._outbox = Outbox(crosswalk.engine)

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [
            Route("GET", "/mail", self.state),
            Route("PUT", "/mail", self.change),
            Route("POST", "/studies/{orthanc_id}/report", self.report),
        ]

    def state(self, _request: Request) -> Answer:
        """Tell whether mails are sent by themselves, and how many wait."""
        waiting, oldest, error = self._outbox.waiting()
        return 200, {
            "configured": self._mail is not None,
            "automatic": self._outbox.is_automatic(),
            "waiting": waiting,
            "oldest": oldest and oldest.isoformat(),
            "last_error": error,
        }

    def change(self, request: Request) -> Answer:
        """Have mails sent by themselves, or only on request, with `{"automatic": true}`."""
        automatic = request.content().get("automatic")
        if not isinstance(automatic, bool):
            raise ApiError(400, 'the body must be {"automatic": true} or {"automatic": false}')
        with self._engine.begin() as connection:
            self._outbox.remember(connection, AUTOMATIC, "true" if automatic else "false")
            word = "on" if automatic else "off"
            add_event(connection, request.user, f"automatic mails switched {word}")
        return self.state(request)

    def report(self, request: Request, orthanc_id: str) -> Answer:
        """Have a report on a study mailed to those who get reports."""
        if self._mail is None or not any("report" in one.kinds for one in self._mail.recipients):
            raise ApiError(
                409,
                "nobody gets reports: name an address with the event report in orthanc_phi_mail_to",
            )
        study = self._studies.find_orthanc(orthanc_id, request.projects)
        if study is None:
            raise ApiError(404, "this study is not known to the crosswalk yet")
        with self._engine.begin() as connection:
            add_event(connection, request.user, REPORT_ASKED, study.id)
        return 202, {"study": study.id}
