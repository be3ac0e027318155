# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugin of the PHI Orthanc: tells the queue of stable studies, and answers about them.

The workers do the work, outside Orthanc, and an agent process speaks to the database.
"""

import json
import os
import shutil
from typing import Any

import orthanc

import access
from orthanc_deid.agent_client import AgentClient, Answer

STOP_SECONDS = 5
NOT_HERE: Answer = (404, {"error": "this Orthanc does not hold such a study"})

agent = AgentClient(
    [
        # sys.executable is Orthanc itself here.
        shutil.which("python3") or "/usr/bin/python3",
        "-m",
        "orthanc_deid.agent",
        os.environ.get("ORTHANC_DEID_CONFIG", "/etc/orthanc-deid/config.json"),
    ],
    orthanc.LogWarning,
)


def find_study(orthanc_id: str) -> Any:
    """Return what this Orthanc says of a study, or None if it does not hold it."""
    try:
        return json.loads(orthanc.RestApiGet(f"/studies/{orthanc_id}"))
    except orthanc.OrthancException:
        return None


def on_change(change: int, _level: int, resource: str) -> None:
    """Pass an event on; must return at once, for it delays all later events."""
    if change == orthanc.ChangeType.STABLE_STUDY:
        if study := find_study(resource):
            agent.tell("stable", study=study)
    elif change == orthanc.ChangeType.ORTHANC_STARTED:
        agent.tell("reconcile")
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        agent.stop(STOP_SECONDS)


def send(output: Any, answer: Answer) -> None:
    """Send an answer as JSON."""
    status, content = answer
    body = json.dumps(content).encode()
    if status == 200:
        output.AnswerBuffer(body, "application/json")
    else:
        output.SetHttpHeader("Content-Type", "application/json")
        output.SendHttpStatus(status, body)


def on_anonymize(output: Any, _uri: str, **request: Any) -> None:
    """POST /deid/studies/{id}/anonymize with `{"force": false}`."""
    if request["method"] != "POST":
        output.SendMethodNotAllowed("POST")
        return
    study = find_study(request["groups"][0])
    body = request["body"].decode("utf-8", "replace")
    actor = request["headers"].get("x-remote-user", "rest")
    send(
        output,
        agent.ask("anonymize", study=study, body=body, actor=actor) if study else NOT_HERE,
    )


def on_study(output: Any, _uri: str, **request: Any) -> None:
    """GET /deid/studies/{id}."""
    if request["method"] != "GET":
        output.SendMethodNotAllowed("GET")
        return
    send(output, agent.ask("study", orthanc_id=request["groups"][0]))


def on_status(output: Any, _uri: str, **request: Any) -> None:
    """GET /deid/status."""
    if request["method"] != "GET":
        output.SendMethodNotAllowed("GET")
        return
    send(output, agent.ask("status"))


access.register(orthanc, "phi")
orthanc.RegisterOnChangeCallback(on_change)
orthanc.RegisterRestCallback("/deid/studies/([0-9a-f-]+)/anonymize", on_anonymize)
orthanc.RegisterRestCallback("/deid/studies/([0-9a-f-]+)", on_study)
orthanc.RegisterRestCallback("/deid/status", on_status)
