# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugin of the Disk Orthanc: it writes the de-identified instances that it holds into a tree.

Callbacks only wake the writer's thread; see `disk_queue` for why nothing depends on them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orthanc

import access
import deidentified_only
from disk_queue import Log, Queue
from disk_removal import Removal
from disk_state import Change, IndexUnavailableError, Record, UnknownStudyError
from disk_tree import DEFAULT_PSEUDONYM, DEFAULT_TEMPLATE, parse_template
from disk_writer import Instance, Result, Series, Study, Tree, TreeProblemError
from page_files import PageFile, send_page

# Orthanc keeps metadata of users under numbers from 1024 on.
RECORD = 5120
PAGE = 1000
DICOM_FILE = 1  # Orthanc's content type of an attachment


class OrthancIndex:
    """Orthanc's index, over its own REST API."""

    def __init__(self) -> None:
        self._studies: dict[str, str] = {}

    def study(self, study_id: str) -> Study:
        """Everything about a study, in three calls."""
        study = _get(f"/studies/{study_id}")
        all_series = _get(f"/studies/{study_id}/series?expand")
        count = sum(len(entry["Instances"]) for entry in all_series)
        instances = {one.id: one for one in self._instances(study_id, count)}
        # An instance that came, or went, between the calls is seen the next time.
        series = tuple(
            Series(
                entry["MainDicomTags"],
                tuple(instances[i] for i in entry["Instances"] if i in instances),
            )
            for entry in all_series
        )
        tags = {**study["PatientMainDicomTags"], **study["MainDicomTags"]}
        return Study(study_id, tags, series)

    def _instances(self, study_id: str, count: int) -> list[Instance]:
        """The instances of a study, of which there are `count`."""
        wanted = {
            "Level": "Instance",
            "ParentStudy": study_id,
            "Query": {},
            "Expand": True,
            "ResponseContent": ["MainDicomTags", "Attachments"],
        }
        # A search costs a third of a list, but tells no more than LimitFindInstances allows.
        found = json.loads(_call(orthanc.RestApiPost, "/tools/find", json.dumps(wanted).encode()))
        if len(found) >= count:
            return [Instance(e["ID"], _file_size(e), e["MainDicomTags"]) for e in found]
        return [
            Instance(entry["ID"], int(entry["FileSize"]), entry["MainDicomTags"])
            for entry in _get(f"/studies/{study_id}/instances?expand")
        ]

    def read(self, instance_id: str) -> bytes:
        """The file of an instance."""
        return bytes(_call(orthanc.GetDicomForInstance, instance_id))

    def changes(self, since: int) -> tuple[list[Change], int, bool]:
        """A page of the log."""
        answer = _get(f"/changes?since={since}&limit={PAGE}")
        changes = [
            Change(
                int(entry["Seq"]),
                _seconds(entry["Date"]),
                entry["ID"] if entry["ChangeType"] == "NewInstance" else None,
            )
            for entry in answer["Changes"]
        ]
        return changes, int(answer["Last"]), bool(answer["Done"])

    def last_change(self) -> int:
        """The end of the log."""
        return int(_get("/changes?last")["Last"])

    def study_of(self, instance_id: str) -> str:
        """The study of an instance."""
        series = str(_get(f"/instances/{instance_id}")["ParentSeries"])
        if series not in self._studies:
            if len(self._studies) > PAGE:
                self._studies.clear()
            self._studies[series] = str(_get(f"/series/{series}")["ParentStudy"])
        return self._studies[series]

    def studies(self, since: int, limit: int) -> list[str]:
        """A page of all studies."""
        return [str(study) for study in _get(f"/studies?since={since}&limit={limit}")]

    def count(self, study_id: str) -> int:
        """The number of instances of a study."""
        return int(_get(f"/studies/{study_id}/statistics")["CountInstances"])

    def record(self, study_id: str) -> Record | None:
        """What was recorded of a study; nothing if that cannot be read."""
        try:
            kept = json.loads(_call(orthanc.RestApiGet, f"/studies/{study_id}/metadata/{RECORD}"))
            return Record(str(kept["folder"]), int(kept["instances"]), str(kept["template"]))
        except (UnknownStudyError, ValueError, KeyError, TypeError):
            return None

    def delete(self, study_id: str) -> None:
        """Delete a study; it may be gone already."""
        with contextlib.suppress(UnknownStudyError):
            _call(orthanc.RestApiDelete, f"/studies/{study_id}")

    def keep_record(self, study_id: str, record: Record) -> None:
        """Record something of a study."""
        body = json.dumps(dataclasses.asdict(record)).encode()
        _call(orthanc.RestApiPut, f"/studies/{study_id}/metadata/{RECORD}", body)


def _call(function: Callable[..., Any], *arguments: object) -> Any:
    gone = {orthanc.ErrorCode.UNKNOWN_RESOURCE, orthanc.ErrorCode.INEXISTENT_ITEM}
    try:
        return function(*arguments)
    except orthanc.OrthancException as error:
        if error.args and error.args[0] in {int(code) for code in gone}:
            raise UnknownStudyError from None
        raise IndexUnavailableError from None


def _get(uri: str) -> Any:
    return json.loads(_call(orthanc.RestApiGet, uri))


def _file_size(found: dict[str, Any]) -> int:
    attachments = found["Attachments"]
    sizes = (e["UncompressedSize"] for e in attachments if e["ContentType"] == DICOM_FILE)
    return int(next(sizes))


def _seconds(date: str) -> float:
    """Seconds since 1970 of a time in Orthanc's log, which is in UTC."""
    return datetime.strptime(date, "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()


def _tree(settings: dict[str, Any]) -> Tree:
    """The tree of the section `OrthancDisk`; a wrong setting stops Orthanc from starting."""
    modes = {
        name: str(settings.get(name, default))
        for name, default in (("FileMode", "0640"), ("DirectoryMode", "2750"))
    }
    for name, mode in modes.items():
        if not re.fullmatch("[0-7]{3,4}", mode):
            raise ValueError(f"OrthancDisk.{name} is {mode!r}; write an octal mode such as 0640")
    return Tree(
        Path(os.fsdecode(str(settings.get("Root", "/tree")).encode())),
        parse_template(
            settings.get("Template", DEFAULT_TEMPLATE),
            settings.get("Pseudonym", DEFAULT_PSEUDONYM),
        ),
        int(modes["FileMode"], 8) & 0o777,
        int(modes["DirectoryMode"], 8),
    )


def _queue() -> Queue:
    configuration = json.loads(orthanc.GetConfiguration())
    settings = configuration.get("OrthancDisk", {})
    return Queue(
        _tree(settings),
        OrthancIndex(),
        Log(orthanc.LogError, orthanc.LogWarning),
        settle=float(configuration.get("StableAge", 60)),
        retry=float(settings.get("RetrySeconds", 30)),
    )


QUEUE = _queue()
PAGES = {
    name: PageFile.of(name, Path(__file__).with_name(name).read_bytes())
    for name in ("tree.html", "tree.css", "tree.js", "site.css", "theme.js")
}


def on_change(change: int, level: int, resource: str) -> None:
    """Start and stop the writer, and wake it when something came."""
    del level, resource
    if change == orthanc.ChangeType.ORTHANC_STARTED:
        QUEUE.start()
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        QUEUE.stop()
    elif change == orthanc.ChangeType.NEW_INSTANCE:
        QUEUE.wake()


def _answer(output: Any, status: int, body: object) -> None:
    text = json.dumps(body, indent=1) + "\n"
    if status == 200:
        output.AnswerBuffer(text, "application/json")
    else:
        output.SendHttpStatus(status, text)


def _answer_result(output: Any, act: Callable[[], Result | Removal]) -> None:
    try:
        _answer(output, 200, dataclasses.asdict(act()))
    except TreeProblemError as error:
        _answer(output, 507, dataclasses.asdict(error.result))
    except UnknownStudyError:
        _answer(output, 404, {"error": "Orthanc holds no study of this identifier"})
    except IndexUnavailableError:
        _answer(output, 503, {"error": "Orthanc's index does not answer, or Orthanc stops"})


def study_route(output: Any, uri: str, **request: Any) -> None:
    """GET /disk/studies/{id}: what of the study is in the tree."""
    del uri
    if request["method"] != "GET":
        output.SendMethodNotAllowed("GET")
        return
    _answer_result(output, lambda: QUEUE.look(request["groups"][0]))


def write_route(output: Any, uri: str, **request: Any) -> None:
    """POST /disk/studies/{id}/write: write what is missing, and answer when it is on the disk."""
    del uri
    if request["method"] != "POST":
        output.SendMethodNotAllowed("POST")
        return
    _answer_result(output, lambda: QUEUE.write_now(request["groups"][0]))


def write_series_route(output: Any, uri: str, **request: Any) -> None:
    """POST /disk/series/{id}/write: the same for the study of a series."""
    del uri
    if request["method"] != "POST":
        output.SendMethodNotAllowed("POST")
        return
    series = request["groups"][0]
    _answer_result(output, lambda: QUEUE.write_now(str(_get(f"/series/{series}")["ParentStudy"])))


def remove_route(output: Any, uri: str, **request: Any) -> None:
    """POST /disk/studies/{id}/remove: delete a withdrawn study, its files in the tree first."""
    del uri
    if request["method"] != "POST":
        output.SendMethodNotAllowed("POST")
        return
    study_id = request["groups"][0]
    _answer_result(output, lambda: QUEUE.remove_now(study_id))


def page_route(output: Any, uri: str, **request: Any) -> None:
    """GET /extra/tree.html and what belongs to it."""
    if request["method"] != "GET":
        output.SendMethodNotAllowed("GET")
        return
    file = PAGES.get(uri.removeprefix("/extra/"))
    if file is None:
        output.SendHttpStatusCode(404)
        return
    send_page(output, file, request["headers"].get("if-none-match"))


def status_route(output: Any, uri: str, **request: Any) -> None:
    """GET /disk/status: what is to be written, what is in the way, and the free space."""
    del uri
    if request["method"] != "GET":
        output.SendMethodNotAllowed("GET")
        return
    _answer(output, 200, QUEUE.status())


access.register(orthanc, "disk")
deidentified_only.register(orthanc)
orthanc.RegisterOnChangeCallback(on_change)
orthanc.RegisterRestCallback("/disk/studies/([0-9a-f-]{44})", study_route)
orthanc.RegisterRestCallback("/disk/studies/([0-9a-f-]{44})/write", write_route)
orthanc.RegisterRestCallback("/disk/studies/([0-9a-f-]{44})/remove", remove_route)
orthanc.RegisterRestCallback("/disk/series/([0-9a-f-]{44})/write", write_series_route)
orthanc.RegisterRestCallback("/extra/.*", page_route)
orthanc.RegisterRestCallback("/disk/status", status_route)
