# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers about the work as a whole: the figures, and how they came about."""

from __future__ import annotations

from functools import cached_property

from orthanc_deid.agent_client import Answer
from orthanc_deid.api import Request, Route
from orthanc_deid.config import Config
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.figures import Figures
from orthanc_deid.rest_metrics import watched_servers


class WorkRoutes:
    """The answer to those who look after the service."""

    def __init__(self, config: Config, crosswalk: Crosswalk) -> None:
        self._config = config
        self._engine = crosswalk.engine

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [Route("GET", "/work", self.work)]

    def work(self, _request: Request) -> Answer:
        """Tell how things stand and how they went."""
        return 200, {**self._figures.now(), "history": self._figures.history()}

    @cached_property
    def _figures(self) -> Figures:
        return Figures(self._engine, self._config.timezone, watched_servers(self._config))
