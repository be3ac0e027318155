# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages ask first: who looks at them, what that account may do, and where to go."""

from __future__ import annotations

import json
from importlib import resources

from orthanc_deid.agent_client import Answer
from orthanc_deid.api import Request, Route
from orthanc_deid.config import Config

DOCUMENT = "openapi.json"


class MeRoutes:
    """The answers about the person and about the API itself."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [
            Route("GET", "/me", self.me),
            Route("GET", f"/{DOCUMENT}", self.document),
        ]

    def me(self, request: Request) -> Answer:
        """Tell account, person, and what a page may offer; the zone of the site's times."""
        return 200, {
            "account": request.account,
            "user": request.user,
            "may": sorted(request.may),
            "zone": self._config.timezone,
            "orthancs": [
                {
                    "name": destination.name,
                    "kind": "disk" if destination.kind == "orthanc_disk" else "anon",
                    "url": self._config.public_urls[destination.name],
                }
                for destination in self._config.destinations
                if destination.name in self._config.public_urls
            ],
        }

    def document(self, _request: Request) -> Answer:
        """Return the document of the API."""
        text = resources.files(__package__).joinpath(DOCUMENT).read_text(encoding="utf-8")
        return 200, json.loads(text)
