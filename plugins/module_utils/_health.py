# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `orthanc_health` looks at; each check yields what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ansible_collections.imaging.orthanc.plugins.module_utils._dicom_echo import (
    EchoError,
    EchoTarget,
    echo,
)
from ansible_collections.imaging.orthanc.plugins.module_utils._findings import (
    ERROR,
    WARNING,
    Finding,
    finding,
)
from ansible_collections.imaging.orthanc.plugins.module_utils._orthanc_client import (
    OrthancClient,
    OrthancError,
    RefusedError,
    TimedOutError,
    UnreachableError,
)

# Orthanc lists it among the plugins; it is the script that plugins add to the explorer's pages.
NO_PLUGIN = "explorer.js"
FULL_PERCENT = 2
SEE_LOG = "See the container's log."


def http_remedy(error: OrthancError) -> str:
    """Return what to do where an Orthanc does not answer, or not as it should."""
    if isinstance(error, UnreachableError):
        return "See the container's log; check the address, the certificate and its authority."
    if isinstance(error, RefusedError) and error.status in (401, 403):
        return "The account or its password is not the one in orthanc.json; run the role again."
    return SEE_LOG


def failure(client: OrthancClient, error: OrthancError) -> str:
    """Return what a module says where an Orthanc does not do as it is asked."""
    seen = str(error) if client.url in str(error) else f"{client.url}: {error}"
    reason = error.reason if isinstance(error, RefusedError) and error.reason else ""
    return f"{seen}{': ' if reason else ''}{reason}. {http_remedy(error)}"


def certificate(client: OrthancClient, days_wanted: int) -> tuple[int | None, list[Finding]]:
    """Return how many days the certificate is still valid, and whether those are too few."""
    try:
        end = client.certificate_end()
    except OrthancError as error:
        return None, [finding("certificate", str(error), SEE_LOG)]
    if end is None:
        return None, []
    days = (end - datetime.now(timezone.utc)).days
    if days >= days_wanted:
        return days, []
    cause = f"The certificate of {client.url} ends in {days} days, on {end:%Y-%m-%d}."
    remedy = "Run playbooks/site.yml, which renews it 30 days before its end."
    return days, [finding("certificate", cause, remedy, WARNING)]


def database(client: OrthancClient) -> Iterator[Finding]:
    """Ask a route that reads the database: /system answers 200 while PostgreSQL hangs."""
    try:
        client.get("/changes?last")
    except TimedOutError as error:
        remedy = "PostgreSQL hangs: see its container's state and log, its disk."
        yield finding("database", f"{error}.", remedy)
    except OrthancError as error:
        remedy = "PostgreSQL is away: see its container's state and log."
        yield finding("database", f"{error}.", remedy)


def plugins(client: OrthancClient, wanted: list[str]) -> tuple[dict[str, str], list[Finding]]:
    """Return the plugins that are loaded, and those that are missing."""
    try:
        loaded = {
            name: str(client.get(f"/plugins/{name}").get("Version", ""))
            for name in client.get("/plugins")
            if name != NO_PLUGIN
        }
    except OrthancError as error:
        return {}, [finding("plugins", f"{error}.", SEE_LOG)]
    remedy = "Check Plugins in orthanc.json and the image."
    missing = [name for name in wanted if name not in loaded]
    return loaded, [
        finding("plugins", f"The plugin {name} is not loaded.", remedy) for name in missing
    ]


def script(
    client: OrthancClient, kind: str | None, version: str | None
) -> tuple[dict[str, str], list[Finding]]:
    """Return which of this collection's scripts runs there, and whether it is another one."""
    if not kind:
        return {}, []
    remedy = "Run playbooks/site.yml for this kind, and see the container's log."
    try:
        told = client.get("/deployment")
        running = {"kind": str(told["kind"]), "version": str(told["version"])}
    except (OrthancError, KeyError, TypeError) as error:
        cause = f"The Orthanc does not say which script it runs: {error}."
        return {}, [finding("script", cause, remedy)]
    wrong = []
    if running["kind"] != kind:
        wrong.append(f"The Orthanc runs the script of {running['kind']}, not of {kind}.")
    if version and running["version"] != version:
        wrong.append(f"The script is of version {running['version']}, not {version}.")
    return running, [finding("script", cause, remedy) for cause in wrong]


def title(system: Mapping[str, Any], aet: str | None) -> Iterator[Finding]:
    """Look whether it is the Orthanc that it should be."""
    if aet and system.get("DicomAet") != aet:
        cause = f"The Orthanc calls itself {system.get('DicomAet')}, not {aet}."
        yield finding("aet", cause, "Another Orthanc answers at this address; check the ports.")


def dicom(target: EchoTarget | None) -> Iterator[Finding]:
    """Send a C-ECHO. That the caller is not known there is an answer, too."""
    if target is None:
        return
    try:
        echo(target)
    except EchoError as error:
        if not error.refused_caller:
            remedy = "Check the DICOM port, the AE titles and the container's log."
            yield finding("dicom", f"{error}.", remedy)


def disk(paths: list[str], percent: int) -> Iterator[Finding]:
    """Look at the free space of the file systems of some directories."""
    for path in paths:
        try:
            room = os.statvfs(path)
        except OSError as error:
            cause = f"{path} cannot be looked at: {error.strerror}."
            yield finding("disk", cause, "Is its file system mounted? See: findmnt")
            continue
        free = 100 * room.f_bavail / max(room.f_blocks, 1)
        inodes = 100 * room.f_favail / room.f_files if room.f_files else 100.0
        for what, left in (("space", free), ("inodes", inodes)):
            if left < percent:
                severity = ERROR if left < FULL_PERCENT else WARNING
                cause = f"Only {left:.1f} % of the {what} of {path} is free; {percent} % should be."
                remedy = "See docs/operating.md, section 'Full disk'."
                yield finding("disk", cause, remedy, severity)


def jobs(client: OrthancClient) -> Iterator[Finding]:
    """Count Orthanc's own jobs that failed, such as a C-MOVE."""
    try:
        failed = sum(job.get("State") == "Failure" for job in client.get("/jobs?expand"))
    except OrthancError as error:
        yield finding("jobs", f"{error}.", SEE_LOG)
        return
    if failed:
        cause = f"{failed} of Orthanc's jobs have failed since it started."
        yield finding("jobs", cause, "See GET /jobs?expand for the reasons.", WARNING)


def queue(client: OrthancClient, max_age: int) -> tuple[dict[str, Any], list[Finding]]:
    """Return what PHI says of its studies, and whether they wait too long or for a person.

    ``max_age`` is in seconds.
    """
    try:
        status: dict[str, Any] = client.get("/deid/v1/status")
        waiting, age = int(status["queue_length"]), status["oldest_age_seconds"] or 0
        quarantined = int(status["states"].get("quarantined", 0))
    except (OrthancError, KeyError, TypeError, ValueError) as error:
        cause = f"PHI does not tell of its queue: {error}."
        return {}, [finding("queue", cause, "See the container's log, and the database's.")]
    found = []
    if age > max_age:
        cause = f"{waiting} studies are under way, the oldest for {timedelta(seconds=int(age))}."
        remedy = "See docs/troubleshooting.md: do the workers run, which destination is waited for?"
        found.append(finding("queue", cause, remedy, WARNING))
    if (disk := status.get("disk") or {}).get("refusing"):
        cause = f"PHI refuses new studies: its disk is {disk['used_percent']} % full."
        remedy = "Make room or enlarge it; senders send again, and PHI goes on by itself."
        found.append(finding("disk", cause, remedy))
    if quarantined:
        cause = f"{quarantined} studies wait in quarantine for a person."
        remedy = "See docs/operating.md, section 'Quarantine'."
        found.append(finding("quarantine", cause, remedy, WARNING))
    return status, found


def tree(client: OrthancClient) -> Iterator[Finding]:
    """Ask Disk whether something keeps it from writing its tree."""
    try:
        problem = client.get("/disk/status").get("problem")
    except OrthancError as error:
        yield finding("tree", f"{error}.", SEE_LOG)
        return
    if problem:
        cause = f"Disk cannot write its tree: {problem}."
        yield finding("tree", cause, "See docs/operating.md, section 'Full disk'.")


def backup(path: Path, max_age: int, now: datetime) -> Iterator[Finding]:
    """Look when a backup was last made and proven; ``max_age`` is in hours."""
    remedy = (
        "See docs/backup.md, section 'When a backup fails'; playbooks/backup.yml makes one now."
    )
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        error = str(state["error"])
        age = now - datetime.fromisoformat(state["success"]) if state["success"] else None
    except FileNotFoundError:
        yield finding("backup", f"{path} is not there: no backup was made.", remedy, WARNING)
        return
    except (OSError, ValueError, KeyError, TypeError):
        yield finding("backup", f"{path} cannot be read.", remedy, WARNING)
        return
    if error:
        yield finding("backup", f"The last backup failed: {error}", remedy, WARNING)
    if age is None:
        yield finding("backup", "No backup has succeeded yet.", remedy, WARNING)
    elif age > timedelta(hours=max_age):
        hours = age / timedelta(hours=1)
        cause = f"The last backup is {hours:.0f} hours old; {max_age} are allowed."
        yield finding("backup", cause, remedy, WARNING)
