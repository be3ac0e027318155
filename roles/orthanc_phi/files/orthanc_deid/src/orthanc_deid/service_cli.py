# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the service: migrate, worker, studies; and those about one study or subjects."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from orthanc_deid import config as config_module
from orthanc_deid import lifecycle_cli, logs, migrate, old_cli, subjects_cli
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.deliveries import Delivery
from orthanc_deid.errors import DeidError
from orthanc_deid.projects import Projects
from orthanc_deid.states import State
from orthanc_deid.studies import Study

if TYPE_CHECKING:
    from orthanc_deid.config import Config

NEWEST: Final = 1000


def register(subparsers: Any) -> None:
    """Add the commands to those of `orthanc-deid`; each sets `run(arguments) -> exit code`."""
    purpose = "bring the crosswalk database to this version's schema"
    _add(subparsers, "migrate", _migrate, purpose, projects="all")

    purpose = "anonymize and deliver what is queued"
    _add(subparsers, "worker", _worker, purpose, projects="all")

    purpose = "show the studies and how far they have come"
    studies = _add(subparsers, "studies", _studies, purpose, projects="any")
    studies.add_argument(
        "--state", action="append", choices=[str(state) for state in State], help="only these"
    )
    studies.add_argument("--json", action="store_true", help="print JSON instead of a table")
    studies.add_argument(
        "--last",
        type=int,
        default=NEWEST,
        metavar="N",
        help="only the newest so many, 0 for all (default: %(default)s)",
    )

    lifecycle_cli.register(subparsers, _add)
    subjects_cli.register(subparsers, _add)
    old_cli.register(subparsers, _add)


def _add(
    subparsers: Any,
    name: str,
    run: Any,
    purpose: str,
    *,
    projects: Literal["one", "any", "all"] = "one",
) -> argparse.ArgumentParser:
    """Add a command; `projects` says of how many it speaks: `one`, `any` named, or always `all`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=purpose, description=f"{purpose.capitalize()}."
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=config_module.DEFAULT_PATH,
        metavar="FILE",
        help="settings of the service (default: %(default)s)",
    )
    if projects != "all":
        told = "the project; needed if there are several" if projects == "one" else "only of this"
        parser.add_argument("--project", metavar="NAME", help=f"{told} (`orthanc_phi_projects`)")
    parser.set_defaults(
        run=lambda arguments: _guarded(run, arguments, one_project=projects == "one")
    )
    return parser


def _guarded(run: Any, arguments: argparse.Namespace, *, one_project: bool) -> int:
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        config = config_module.load(arguments.config)
        if one_project:
            config = Projects.of(config).demand(arguments.project).config
        run(config, arguments)
    except DeidError as error:
        console.print(f"orthanc-deid: {error}")
        return 1
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__).strip()
        console.print(f"orthanc-deid: the crosswalk database fails: {reason}")
        return 1
    return 0


def _migrate(config: Config, _arguments: argparse.Namespace) -> None:
    revision = migrate.upgrade(config.database.url())
    print("up to date" if revision is None else f"migrated {revision}")


def _worker(config: Config, _arguments: argparse.Namespace) -> None:
    # Only a worker needs the engine, whose tables take a while to load.
    from orthanc_deid import worker  # noqa: PLC0415

    logs.configure()
    worker.run(config)


def _studies(config: Config, arguments: argparse.Namespace) -> None:
    studies = Crosswalk.from_config(config).studies
    states = [State(state) for state in arguments.state] if arguments.state else list(State)
    found = studies.in_states(states, arguments.project, arguments.last)
    rows = [(study, studies.deliveries(study.id)) for study in found]
    if len(rows) == arguments.last:
        told = f"orthanc-deid: the newest {arguments.last}; --last 0 shows all"
        print(told, file=sys.stderr)
    if arguments.json:
        print(json.dumps([_as_json(study, found) for study, found in rows], indent=2))
    else:
        Console().print(_as_table(rows))


def _as_json(study: Study, found: list[Delivery]) -> dict[str, Any]:
    return json.loads(  # type: ignore[no-any-return]
        json.dumps(
            {**asdict(study), "destinations": [asdict(delivery) for delivery in found]},
            default=lambda moment: moment.isoformat(),
        )
    )


def _as_table(rows: list[tuple[Study, list[Delivery]]]) -> Table:
    table = Table(
        "study", "project", "subject", "state", "since", "attempts", "destinations", "reason"
    )
    for study, found in rows:
        table.add_row(
            str(study.id),
            study.project,
            "" if study.number is None else f"{study.number:06d}",
            _stands(study),
            f"{study.updated_at:%Y-%m-%d %H:%M:%S}",
            str(study.attempts),
            ", ".join(f"{delivery.destination} {_reached(study, delivery)}" for delivery in found),
            study.reason or "",
        )
    return table


def _stands(study: Study) -> str:
    if study.state is State.WORKING and study.progress:
        return f"working {study.progress['deidentified']} of {study.progress['instances']}"
    return study.state


def _reached(study: Study, delivery: Delivery) -> str:
    if delivery.state == "delivered":
        return str(delivery.instances)
    for there in (study.progress or {}).get("destinations", ()):
        if there["destination"] == delivery.destination and there["sent"]:
            return f"{there['sent']} of {there['instances']}"
    return delivery.state.replace("_", " ")
