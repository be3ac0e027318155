# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugin of the PHI Orthanc: tells the queue of stable studies, and answers about them.

All work is done by the workers, outside Orthanc.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orthanc
from sqlalchemy.exc import SQLAlchemyError

from orthanc_deid import config as config_module
from orthanc_deid.admission import Admission
from orthanc_deid.announcer import Announcer
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.job_queue import QUEUE_ERRORS, open_queue
from orthanc_deid.orthanc_client import SourceStudy, source_study
from orthanc_deid.rest import Answer, Routes

RECONCILE = "reconcile"
STOP_SECONDS = 5

config = config_module.load(Path(os.environ.get("ORTHANC_DEID_CONFIG", config_module.DEFAULT_PATH)))
studies = Crosswalk.from_config(config).studies
routes = Routes(studies, lambda: open_queue(config.database.parameters()))


def find_study(orthanc_id: str) -> SourceStudy:
    """Return what this Orthanc holds of a study."""
    return source_study(json.loads(orthanc.RestApiGet(f"/studies/{orthanc_id}")))


def announce(orthanc_id: str) -> None:
    """Queue a study that has become stable, or a look at all studies."""
    with open_queue(config.database.parameters()) as queue:
        if orthanc_id == RECONCILE:
            queue.reconcile()
        else:
            admission = Admission(studies, queue, automatic=config.auto_anonymize)
            admission.consider(find_study(orthanc_id))


announcer = Announcer(announce, orthanc.LogWarning)


def on_change(change: int, _level: int, resource: str) -> None:
    """Take an event of Orthanc; must return at once, for it delays all later events."""
    if change == orthanc.ChangeType.STABLE_STUDY:
        announcer.add(resource)
    elif change == orthanc.ChangeType.ORTHANC_STARTED:
        announcer.start()
        announcer.add(RECONCILE)
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        announcer.stop(STOP_SECONDS)


def answer(output: Any, respond: Callable[[], Answer]) -> None:
    """Send an answer as JSON; while the database is away that is 503."""
    try:
        code, content = respond()
    except (SQLAlchemyError, *QUEUE_ERRORS):
        code, content = 503, {"error": "the crosswalk database does not answer; try again later"}
    except orthanc.OrthancException:
        code, content = 404, {"error": "this Orthanc does not hold such a study"}
    body = json.dumps(content).encode()
    if code == 200:
        output.AnswerBuffer(body, "application/json")
    else:
        output.SetHttpHeader("Content-Type", "application/json")
        output.SendHttpStatus(code, body)


def on_anonymize(output: Any, _uri: str, **request: Any) -> None:
    """POST /deid/studies/{id}/anonymize."""
    if request["method"] != "POST":
        output.SendMethodNotAllowed("POST")
        return
    orthanc_id = request["groups"][0]
    answer(output, lambda: routes.anonymize(find_study(orthanc_id), request["body"], "rest"))


def on_study(output: Any, _uri: str, **request: Any) -> None:
    """GET /deid/studies/{id}."""
    if request["method"] != "GET":
        output.SendMethodNotAllowed("GET")
        return
    answer(output, lambda: routes.study(request["groups"][0]))


def on_status(output: Any, _uri: str, **request: Any) -> None:
    """GET /deid/status."""
    if request["method"] != "GET":
        output.SendMethodNotAllowed("GET")
        return
    answer(output, routes.status)


orthanc.RegisterOnChangeCallback(on_change)
orthanc.RegisterRestCallback("/deid/studies/([0-9a-f-]+)/anonymize", on_anonymize)
orthanc.RegisterRestCallback("/deid/studies/([0-9a-f-]+)", on_study)
orthanc.RegisterRestCallback("/deid/status", on_status)
