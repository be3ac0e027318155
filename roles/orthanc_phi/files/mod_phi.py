# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugin of the PHI Orthanc: tells the queue of stable studies, and serves the pages and their API.

The workers do the work, outside Orthanc. An agent process speaks to the database and answers the
API; this script only passes requests on.
"""

import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import orthanc

import access
import back_pressure
from orthanc_deid.agent_client import AgentClient, Answer
from orthanc_deid.disk_room import DiskRoom
from page_files import PageFiles, send_page

STOP_SECONDS = 5
SETTINGS = Path(os.environ.get("ORTHANC_DEID_CONFIG", "/etc/orthanc-deid/config.json"))
API = "/deid/v1/"
PAGES = "/extra/"

# What a page offers only to those who may do it, each told by a route that does it.
STUDY = f"{API}studies/00000000-00000000-00000000-00000000-00000000"
OFFERS = {
    "anonymize": ("POST", f"{STUDY}/anonymize"),
    "release": ("POST", f"{STUDY}/release"),
    "withdraw": ("POST", f"{STUDY}/withdraw"),
    "fetch": ("POST", f"{API}fetches"),
    "lookup": ("GET", f"{PAGES}lookup/master/lookuptable.html"),
    "review": ("GET", f"{PAGES}review/quarantine.html"),
    "work": ("GET", f"{PAGES}work/work.html"),
}

agent = AgentClient(
    [
        # sys.executable is Orthanc itself here.
        shutil.which("python3") or "/usr/bin/python3",
        "-m",
        "orthanc_deid.agent",
        str(SETTINGS),
    ],
    orthanc.LogWarning,
)
pages = PageFiles(Path("/etc/orthanc-deid/pages.tar.base64"), Path("/opt/orthanc_pages/lib"))
pressure = back_pressure.register(orthanc, DiskRoom.of(SETTINGS))
accounts = access.register(orthanc, "phi", pressure.held)


def find_study(orthanc_id: str) -> Any:
    """Return what this Orthanc says of a study, or None if it does not hold it."""
    try:
        return json.loads(orthanc.RestApiGet(f"/studies/{orthanc_id}"))
    except orthanc.OrthancException:
        return None


def on_change(change: int, level: int, resource: str) -> None:
    """Pass an event on; must return at once, for it delays all later events."""
    if change == orthanc.ChangeType.STABLE_STUDY:
        if study := find_study(resource):
            agent.tell("stable", study=study)
    elif change == orthanc.ChangeType.NEW_STUDY:
        agent.tell("arrived", orthanc_id=resource)
    elif change == orthanc.ChangeType.DELETED:
        if level == orthanc.ResourceType.STUDY:
            agent.tell("gone", orthanc_id=resource)
    elif change == orthanc.ChangeType.ORTHANC_STARTED:
        agent.tell("reconcile")
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        agent.stop(STOP_SECONDS)


def send(output: Any, answer: Answer) -> None:
    """Send an answer as JSON, or as the text or file that is all it holds."""
    status, content = answer
    output.SetHttpHeader("Cache-Control", "no-store")
    if content.keys() == {"text"}:
        output.AnswerBuffer(content["text"], "text/plain; version=0.0.4; charset=utf-8")
        return
    if file := content.get("download"):
        send_file(output, file)
        return
    body = json.dumps(content).encode()
    if status == 200:
        output.AnswerBuffer(body, "application/json")
    else:
        output.SetHttpHeader("Content-Type", "application/json")
        output.SendHttpStatus(status, body)


def send_file(output: Any, piece: dict[str, Any]) -> None:
    """Send a file piece by piece as the agent makes it; if that fails, the file breaks off."""
    output.SetHttpHeader("Content-Disposition", f'attachment; filename="{piece["name"]}"')
    output.SetHttpHeader("X-Download", piece["number"])
    output.StartStreamAnswer(piece["type"])
    while True:
        if piece["data"]:
            output.SendStreamChunk(base64.b64decode(piece["data"]))
        if piece["last"]:
            return
        status, piece = agent.ask("download", file=piece["number"])
        if status != 200:
            raise RuntimeError(f"a download broke off ({status})")


def groups_of(headers: dict[str, str]) -> list[str]:
    """Return the groups that Apache tells of a person, each in Base64."""
    told = headers.get("x-remote-groups", "").split(",")
    return [base64.b64decode(name).decode() for name in told if name.strip()]


def on_api(output: Any, uri: str, **request: Any) -> None:
    """Pass any request below /deid/v1/ to the agent, with the account and the person behind it."""
    account = accounts.of(request["headers"])
    answer = agent.ask(
        "api",
        method=request["method"],
        path=uri.removeprefix(API.rstrip("/")),
        # Orthanc 1.12 hands them on as they were sent.
        query={name: unquote_plus(value) for name, value in request.get("get", {}).items()},
        body=request.get("body", b"").decode("utf-8", "replace"),
        account=account,
        user=request["headers"].get("x-remote-user") or account,
        groups=groups_of(request["headers"]),
        may=[name for name, route in OFFERS.items() if accounts.may(account, *route)],
    )
    send(output, answer)


def is_deidentified(orthanc_id: str) -> bool:
    """Whether every instance of a study says that it was de-identified (0012,0062)."""
    tags = json.loads(orthanc.RestApiGet(f"/studies/{orthanc_id}/instances-tags?simplify"))
    return all(instance.get("PatientIdentityRemoved") == "YES" for instance in tags.values())


def on_copy(output: Any, _uri: str, **request: Any) -> None:
    """DELETE /deid/v1/copies/{id}: delete a result that a person was to look at, nothing else."""
    if request["method"] != "DELETE":
        output.SendMethodNotAllowed("DELETE")
        return
    orthanc_id = request["groups"][0]
    if find_study(orthanc_id) is None:
        send(output, (404, {"error": "this Orthanc does not hold such a study"}))
    elif not is_deidentified(orthanc_id):
        send(output, (409, {"error": "this is an original, which is never deleted here"}))
    else:
        orthanc.RestApiDelete(f"/studies/{orthanc_id}")
        send(output, (200, {}))


def on_page(output: Any, uri: str, **request: Any) -> None:
    """Send one file of the pages, unless the browser has it already."""
    if request["method"] != "GET":
        output.SendMethodNotAllowed("GET")
        return
    file = pages.find(uri.removeprefix(PAGES))
    if file is None:
        output.SendHttpStatusCode(404)
        return
    send_page(output, file, request["headers"].get("if-none-match"))


orthanc.RegisterOnChangeCallback(on_change)
orthanc.RegisterRestCallback("/deid/v1/copies/([0-9a-f-]{44})", on_copy)
orthanc.RegisterRestCallback("/deid/v1/.*", on_api)
orthanc.RegisterRestCallback("/extra/.*", on_page)
