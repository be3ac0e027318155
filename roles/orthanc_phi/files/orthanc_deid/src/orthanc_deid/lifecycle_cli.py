# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands by which persons decide about studies, and the one that shows a study."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from orthanc_deid.admission import is_withdrawn
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.errors import DeidError
from orthanc_deid.job_queue import JobQueue, open_queue
from orthanc_deid.lifecycle import Decision, Lifecycle
from orthanc_deid.orthanc_client import GoneError, OrthancClient, SourceStudy
from orthanc_deid.projects import Projects
from orthanc_deid.studies import Studies, Study
from orthanc_deid.subjects_cli import account

if TYPE_CHECKING:
    from orthanc_deid.config import Config

WHICH = "its number in the crosswalk, a StudyInstanceUID or Orthanc's identifier"


def register(subparsers: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands to those of `orthanc-deid`."""

    def command(name: str, run: Any, purpose: str, note: str) -> argparse.ArgumentParser:
        parser = add(subparsers, name, run, purpose, projects="any")
        parser.add_argument("study", help=WHICH)
        parser.add_argument("--note", default="", metavar="TEXT", help=note)
        parser.add_argument(
            "--by", default=account(), metavar="NAME", help="who asks (default: %(default)s)"
        )
        return parser

    why = "why; kept with the event"
    anonymize = command("anonymize", _anonymize, "anonymize and deliver a study", why)
    anonymize.add_argument("--force", action="store_true", help="also if it was delivered already")
    retry = command("retry", _retry, "anonymize and deliver a study again", why)
    for parser in (anonymize, retry):
        parser.add_argument(
            "--profile",
            metavar="NAME",
            help="by another profile, of those that the site allows; '' for the project's own",
        )
        parser.add_argument(
            "--review",
            action=argparse.BooleanOptionalAction,
            help="let the result wait on PHI until a person releases it",
        )
        parser.add_argument(
            "--to",
            action="append",
            metavar="DESTINATION",
            help="only there, of the project's destinations; may be repeated; '' for all of them",
        )
    command(
        "release",
        _release,
        "let a study go out that waits in quarantine or for review",
        "why it may go out; needed for a release from quarantine",
    )
    command("reject", _reject, "keep a study from going out until it is retried", why)
    withdraw = command("withdraw", _withdraw, "take a study back from everywhere, for good", why)
    withdraw.add_argument(
        "--settled",
        metavar="DESTINATION",
        help="note that you have taken back by hand what was left at this destination",
    )
    purpose = "show what is known of a study and what happened to it"
    show = add(subparsers, "show", _show, purpose, projects="any")
    show.add_argument("study", help=WHICH)
    show.add_argument("--json", action="store_true", help="print JSON")


def _decision(arguments: argparse.Namespace) -> Decision:
    return Decision(
        arguments.by,
        arguments.note,
        getattr(arguments, "profile", None),
        getattr(arguments, "review", None),
        None if (to := getattr(arguments, "to", None)) is None else [name for name in to if name],
    )


def _lifecycle(config: Config, studies: Studies, queue: JobQueue) -> Lifecycle:
    destinations = {project.name: project.destinations for project in Projects.of(config).all}
    return Lifecycle(studies, queue, config.other_profiles, destinations)


def _act(config: Config, arguments: argparse.Namespace, act: Any) -> None:
    studies = Crosswalk.from_config(config).studies
    study = _find(studies, arguments)
    with open_queue(config.database.parameters()) as queue:
        now = act(_lifecycle(config, studies, queue), study, _decision(arguments))
    print(f"study {now.id} is {now.state}")


def _anonymize(config: Config, arguments: argparse.Namespace) -> None:
    studies = Crosswalk.from_config(config).studies
    source = OrthancClient("the PHI Orthanc", config.orthanc)
    projects = Projects.of(config)
    known = studies.find(arguments.study, arguments.project)
    try:
        found = source.study(_orthanc_id(studies, arguments.study))
    except GoneError:
        raise DeidError(f"the PHI Orthanc holds no study {arguments.study}") from None
    if studies.is_anonymous(found.study_instance_uid):
        raise DeidError("this study is anonymized already and never anonymized again")
    study = known or _join(studies, found, projects.demand(arguments.project).name)
    with open_queue(config.database.parameters()) as queue:
        now = _lifecycle(config, studies, queue).anonymize(
            study, _decision(arguments), last_update=found.last_update, force=arguments.force
        )
    print(f"study {now.id} is {now.state}")


def _retry(config: Config, arguments: argparse.Namespace) -> None:
    _act(config, arguments, Lifecycle.retry)


def _release(config: Config, arguments: argparse.Namespace) -> None:
    _act(config, arguments, Lifecycle.release)


def _reject(config: Config, arguments: argparse.Namespace) -> None:
    _act(config, arguments, Lifecycle.reject)


def _withdraw(config: Config, arguments: argparse.Namespace) -> None:
    def act(lifecycle: Lifecycle, study: Study, decision: Decision) -> Study:
        if arguments.settled:
            return lifecycle.settle(study, arguments.settled, decision)
        return lifecycle.withdraw(study, decision)

    _act(config, arguments, act)


def _show(config: Config, arguments: argparse.Namespace) -> None:
    studies = Crosswalk.from_config(config).studies
    study = _find(studies, arguments)
    shown = {
        **asdict(study),
        "findings": sorted(studies.findings(study.id)),
        "accepted": sorted(studies.accepted(study.id)),
        "destinations": [asdict(delivery) for delivery in studies.deliveries(study.id)],
        "events": [asdict(event) for event in studies.events(study.id)],
    }
    if arguments.json:
        print(json.dumps(shown, indent=2, default=lambda moment: moment.isoformat()))
        return
    for name, value in shown.items():
        if not isinstance(value, list):
            print(f"{name.replace('_', ' ')}: {'' if value is None else value}")
    for finding in shown["findings"]:
        print(f"waits for a person because of: {finding}")
    for finding in shown["accepted"]:
        print(f"accepted by a person: {finding}")
    for row in shown["destinations"]:
        told = f": {row['last_error']}" if row["last_error"] else ""
        print(f"{row['destination']}: {row['state']}, {row['instances']} instances{told}")
    for event in shown["events"]:
        told = f": {event['detail']}" if event["detail"] else ""
        print(f"{event['at']:%Y-%m-%d %H:%M:%S} {event['actor']}: {event['action']}{told}")


def _find(studies: Studies, arguments: argparse.Namespace) -> Study:
    study = studies.find(arguments.study, arguments.project)
    if study is None:
        raise DeidError(
            f"no study is called {arguments.study}; `orthanc-deid studies` shows them all"
        )
    return study


def _orthanc_id(studies: Studies, name: str) -> str:
    """Return Orthanc's identifier of a study that some project may know by another name."""
    named = studies.all_called(name)
    return (named[0].orthanc_id if named else None) or name


def _join(studies: Studies, found: SourceStudy, project: str) -> Study:
    """Put a study into a project that a person chose."""
    if is_withdrawn(studies.of_orthanc(found.orthanc_id)):
        raise DeidError("this study was withdrawn, and joins no other project")
    return studies.add(orthanc_id=found.orthanc_id, project=project)
