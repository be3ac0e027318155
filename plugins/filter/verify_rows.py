# Copyright (c) imaging.orthanc contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what was seen of a part of the site as rows of the table of verify.yml."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

DOCUMENTATION = r"""
name: verify_rows
short_description: What was seen of a part of the site, as rows of the table of verify.yml
version_added: 1.0.0
author: imaging.orthanc contributors (@imaging-orthanc)
description:
  - Each row has C(what), C(where), C(state), C(seen) and C(remedy). The state is C(well), C(look),
    which a person should look at some time, or C(wrong).
options:
  _input:
    description: What the task registered.
    type: dict
    required: true
  where:
    description: Which part of the site it is about.
    type: str
    required: true
  kind:
    description: What the task asked.
    type: str
    choices: [health, echo, round_trip, probes, rules, workers, relay, front]
    required: true
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ health | imaging.orthanc.verify_rows('orthanc-phi on phi.example.org', 'health') }}"
"""

RETURN = r"""
_value:
  description: The rows.
  type: list
  elements: dict
"""

Row = dict[str, str]

CHECKS = {
    "http": "answers over HTTPS",
    "account": "takes its account",
    "certificate": "certificate",
    "database": "database answers",
    "plugins": "plugins are loaded",
    "script": "runs this collection's script",
    "aet": "AE title",
    "dicom": "answers a C-ECHO",
    "disk": "room on the disks",
    "containers": "containers run",
    "jobs": "Orthanc's own jobs",
    "queue": "studies do not wait",
    "quarantine": "quarantine",
    "tree": "tree can be written",
    "backup": "backup is young and proven",
}
# What a person looks at in time; nothing is broken.
NOT_URGENT = {"jobs", "quarantine"}
# A certificate is renewed 30 days before its end.
CERTIFICATE_DAYS = 21


def verify_rows(registered: Mapping[str, Any], where: str, kind: str) -> list[Row]:
    """Return the rows of one registered result."""
    return [{"where": where, **row} for row in _KINDS[kind](registered)]


def _row(what: str, state: str, seen: str, remedy: str = "") -> Row:
    return {"what": what, "state": state, "seen": seen, "remedy": remedy}


def _health(told: Mapping[str, Any]) -> Iterator[Row]:
    if "findings" not in told:
        yield _row("health", "wrong", str(told.get("msg", "not known")), "Run it with -vvv.")
        return
    found: dict[str, list[Mapping[str, str]]] = {}
    for item in told["findings"]:
        found.setdefault(item["check"], []).append(item)
    for check, what in CHECKS.items():
        wrong = found.get(check, [])
        for item in wrong:
            state = "look" if check in NOT_URGENT else "wrong"
            yield _row(what, state, item["cause"], item["remedy"])
        if not wrong and check in told["checks"]:
            yield _row(what, "well", _seen(check, told))


def _seen(check: str, told: Mapping[str, Any]) -> str:
    queue = told.get("queue") or {}
    script = told.get("script") or {}
    seen = {
        "http": f"Orthanc {told.get('version')}",
        "certificate": f"{told.get('certificate_days')} days left",
        "script": f"{script.get('kind')}, version {script.get('version')}",
        "queue": f"{queue.get('queue_length', 0)} under way",
        "quarantine": "empty",
    }
    return seen.get(check, "")


def _echo(told: Mapping[str, Any]) -> Iterator[Row]:
    for item in told.get("echoes", []):
        what = f"node {item['node']} answers"
        if item["answered"]:
            yield _row(what, "well", f"{item['seconds']:.2f} s")
        else:
            yield _row(what, "wrong", item["cause"], item["remedy"])
    if told.get("msg") and not told.get("echoes"):
        yield _row("DICOM nodes answer", "wrong", str(told["msg"]))


def _round_trip(told: Mapping[str, Any]) -> Iterator[Row]:
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in told.get("seconds", {}).items())
    if told.get("msg"):
        remedy = "See docs/troubleshooting.md, 'The round trip fails'."
        yield _row("a test study comes through", "wrong", str(told["msg"]), remedy)
    else:
        yield _row("a test study comes through", "well", seconds)


def _probes(told: Mapping[str, Any]) -> Iterator[Row]:
    for probe in told.get("results", []):
        what = f"closed to {probe['item']}"
        said = str(probe.get("msg", ""))
        if said.startswith("Timeout when waiting"):
            yield _row(what, "well", "")
        elif said:
            remedy = "See whether Ansible reaches that host, then run this again."
            yield _row(what, "wrong", f"It could not be tried: {said}", remedy)
        else:
            remedy = "Run playbooks/site.yml --tags firewall, and see docs/firewall.md."
            yield _row(what, "wrong", "The web port can be reached from there.", remedy)


def _rules(told: Mapping[str, Any]) -> Iterator[Row]:
    if told.get("rc") == 0:
        yield _row("rules are those of the inventory", "well", "")
        return
    lines = [*told.get("stdout_lines", []), *told.get("stderr_lines", []), told.get("msg", "")]
    remedy = "Run playbooks/site.yml --tags firewall."
    seen = next((line for line in lines if line), "the program does not say")
    yield _row("rules are those of the inventory", "wrong", seen, remedy)


def _containers(what: str, told: Mapping[str, Any]) -> Iterator[Row]:
    ill = [
        line.lstrip("/")
        for line in [*told.get("stdout_lines", []), *told.get("stderr_lines", [])]
        if not line.endswith("is running and healthy")
    ]
    if not ill and told.get("rc") == 0:
        yield _row(what, "well", f"{len(told['stdout_lines'])} of them")
        return
    seen = "; ".join(ill) or str(told.get("msg", "the engine does not answer"))
    remedy = "docker logs of the container tells why; playbooks/site.yml starts it again."
    yield _row(what, "wrong", seen, remedy)


def _front(told: Mapping[str, Any]) -> Iterator[Row]:
    what = "shows a valid certificate"
    if "not_after" not in told:
        seen = str(told.get("msg", "nothing answers"))
        yield _row(
            what, "wrong", seen, "See Apache's error log; run playbooks/site.yml --tags apache."
        )
        return
    end = datetime.strptime(told["not_after"], "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    days = (end - datetime.now(UTC)).days
    remedy = "Run playbooks/site.yml --tags apache, or renew the given certificate."
    state, todo = ("well", "") if days >= CERTIFICATE_DAYS else ("wrong", remedy)
    yield _row(what, state, f"{days} days left", todo)


_KINDS: dict[str, Callable[[Mapping[str, Any]], Iterator[Row]]] = {
    "health": _health,
    "echo": _echo,
    "round_trip": _round_trip,
    "probes": _probes,
    "rules": _rules,
    "workers": partial(_containers, "workers run"),
    "relay": partial(_containers, "the mail relay runs"),
    "front": _front,
}


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"verify_rows": verify_rows}
