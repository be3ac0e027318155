# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures for Prometheus over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import sqlalchemy as sa

from orthanc_deid.agent_client import Answer
from orthanc_deid.api import Request, Route
from orthanc_deid.config import Config
from orthanc_deid.destination_config import DicomWeb
from orthanc_deid.destination_config import Server as Orthanc
from orthanc_deid.figures import Figures, Server
from orthanc_deid.metrics import Metrics


class MetricsRoutes:
    """The answer to `GET /deid/v1/metrics`."""

    def __init__(self, config: Config, engine: sa.Engine) -> None:
        self._config = config
        self._engine = engine

    def routes(self) -> list[Route]:
        """Return the routes that are answered here."""
        return [Route("GET", "/metrics", self.metrics)]

    def metrics(self, _request: Request) -> Answer:
        """Return the figures as text."""
        return 200, {"text": self._metrics.text()}

    @cached_property
    def _metrics(self) -> Metrics:
        # The zone matters to days and hours only, which are not told here.
        return Metrics(self._engine, Figures(self._engine, "UTC", watched_servers(self._config)))


def watched_servers(config: Config) -> Iterator[Server]:
    """Yield the servers whose certificates are watched: PHI's own, and all that studies go to."""
    yield Server("phi", config.orthanc.url, config.orthanc.ca)
    for destination in config.destinations:
        settings = destination.settings
        if isinstance(settings, Orthanc | DicomWeb) and settings.url.startswith("https://"):
            yield Server(destination.name, settings.url, settings.ca)
