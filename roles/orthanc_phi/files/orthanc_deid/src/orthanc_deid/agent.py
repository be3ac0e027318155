# SPDX-License-Identifier: GPL-3.0-or-later
"""The process beside the PHI Orthanc that speaks to the database for its plugin.

So Orthanc's process holds neither the drivers, which bring an OpenSSL and a libpq of their own
beside Orthanc's, nor their share of Python's lock; and a database that hangs cannot hold it up.

Requests come on stdin and answers go to stdout, one JSON object per line; see `agent_client`.
It ends when stdin does.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TextIO

from sqlalchemy.exc import SQLAlchemyError

from orthanc_deid import config as config_module
from orthanc_deid import logs
from orthanc_deid.admission import Admission, Join, Queue
from orthanc_deid.agent_client import Answer
from orthanc_deid.api import Api, Request, Route
from orthanc_deid.config import Config
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.disk_room import DiskRoom
from orthanc_deid.downloads import Downloads
from orthanc_deid.fetcher import Fetcher
from orthanc_deid.fetches import Fetches
from orthanc_deid.job_queue import QUEUE_ERRORS, open_queue
from orthanc_deid.orthanc_client import OrthancClient, OrthancError, source_study
from orthanc_deid.pacs import Pacs
from orthanc_deid.project_access import ProjectAccess
from orthanc_deid.projects import Project, Projects, join_by_rule
from orthanc_deid.rest import Offer, Site, StudyRoutes, study_finder
from orthanc_deid.rest_elements import ElementRoutes
from orthanc_deid.rest_fetches import FetchRoutes
from orthanc_deid.rest_instances import InstanceRoutes
from orthanc_deid.rest_lookup import LookupRoutes
from orthanc_deid.rest_mail import MailRoutes
from orthanc_deid.rest_me import MeRoutes
from orthanc_deid.rest_metrics import MetricsRoutes
from orthanc_deid.rest_patients import PatientRoutes
from orthanc_deid.rest_review import ReviewRoutes
from orthanc_deid.rest_search import SearchRoutes
from orthanc_deid.rest_work import WorkRoutes

log = logging.getLogger(__name__)

THREADS = 8


class PluginQueue(Queue, Protocol):
    """Where jobs are put, also those that look at all studies."""

    def reconcile(self) -> None:
        """Queue a look at all studies."""


class Agent:
    """Answers the requests of the plugin."""

    def __init__(  # noqa: PLR0913 - it joins all that the plugin asks for
        self,
        crosswalk: Crosswalk,
        queue: PluginQueue,
        phi: OrthancClient,
        api: Api,
        downloads: Downloads,
        *,
        automatic: bool = True,
        join: Join | None = None,
    ) -> None:
        self._admission = Admission(crosswalk.studies, queue, join=join, automatic=automatic)
        self._held = crosswalk.held
        self._queue = queue
        self._phi = phi
        self._api = api
        self._downloads = downloads

    def answer(self, request: dict[str, Any]) -> Answer:
        """Answer one request; while the database is away that is 503."""
        try:
            return self._dispatch(request)
        except (SQLAlchemyError, *QUEUE_ERRORS):
            return 503, {"error": "the crosswalk database does not answer; try again later"}
        except OrthancError as error:
            return 503, {"error": f"{error}; try again later"}
        except Exception as error:
            log.exception("a request of the plugin failed")
            return 500, {"error": f"the program failed ({type(error).__name__}); see the log"}

    def _dispatch(self, request: dict[str, Any]) -> Answer:
        match request["call"]:
            case "stable":
                self._admission.consider(source_study(request["study"]))
                self._held.look(self._phi, request["study"]["ID"])
                return 200, {}
            case "arrived":
                self._held.look(self._phi, request["orthanc_id"])
                return 200, {}
            case "gone":
                self._held.forget([request["orthanc_id"]])
                return 200, {}
            case "reconcile":
                self._queue.reconcile()
                return 200, {}
            case "download":
                return self._downloads.more(request["file"])
            case _:
                return self._api.answer(Request.of(request))


def all_routes(  # noqa: PLR0913 - it joins all parts of the API
    config: Config,
    crosswalk: Crosswalk,
    queue: PluginQueue,
    phi: OrthancClient,
    *,
    downloads: Downloads,
    fetcher: Fetcher,
) -> list[Route]:
    """Return every route of the API."""
    projects = Projects.of(config)
    crosswalks = {
        project.name: Crosswalk.from_config(project.config, crosswalk.engine)
        for project in projects.all
    }
    parts = (
        MeRoutes(config),
        MetricsRoutes(config, crosswalk.engine),
        SearchRoutes(crosswalk.held),
        StudyRoutes(
            crosswalk.studies,
            queue,
            study_finder(phi),
            Site(
                config.other_profiles,
                [_offer(project) for project in projects.all],
                DiskRoom(config.disk_percent, config.disk_reserve),
            ),
        ),
        LookupRoutes(crosswalk, downloads),
        downloads,
        ReviewRoutes(crosswalk, queue, phi),
        WorkRoutes(config, crosswalk),
        MailRoutes(config, crosswalk),
        FetchRoutes(fetcher, crosswalk.held),
        PatientRoutes(crosswalk, crosswalks),
        ElementRoutes(phi),
        InstanceRoutes(phi, crosswalk.studies, config.secret),
    )
    return [route for part in parts for route in part.routes()]


def _offer(project: Project) -> Offer:
    config = project.config
    return Offer(project.name, config.base_name, project.destinations, config.review)


def serve(
    requests: Iterable[str], output: TextIO, answer: Callable[[dict[str, Any]], Answer]
) -> None:
    """Answer all requests, several at once, each answer with the number of its request."""
    writing = threading.Lock()

    def handle(line: str) -> None:
        request = json.loads(line)
        status, body = answer(request)
        with writing:
            print(json.dumps([request["number"], status, body]), file=output, flush=True)
        if status >= 500:
            log.warning("not done for the plugin", extra={"reason": request["call"]})

    with ThreadPoolExecutor(THREADS, thread_name_prefix="agent") as threads:
        for line in requests:
            threads.submit(handle, line)


def main(path: Path) -> None:
    """Serve the plugin on stdin and stdout, with the settings in `path`."""
    logs.configure()
    config = config_module.load(path)
    projects = Projects.of(config)
    crosswalk = Crosswalk.from_config(projects.all[0].config)
    phi = OrthancClient("the PHI Orthanc", config.orthanc)
    with open_queue(config.database.parameters()) as queue:
        downloads = Downloads()
        fetcher = Fetcher(Fetches(crosswalk.engine), Pacs(phi, config.pacs))
        fetcher.start()
        routes = all_routes(config, crosswalk, queue, phi, downloads=downloads, fetcher=fetcher)
        access = ProjectAccess({project.name: project.groups for project in projects.all})
        api = Api(routes, access)
        join = join_by_rule(projects, phi)
        agent = Agent(crosswalk, queue, phi, api, downloads, join=join)
        serve(sys.stdin, sys.stdout, agent.answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
