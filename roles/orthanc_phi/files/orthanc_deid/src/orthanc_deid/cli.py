# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `orthanc-deid`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orthanc_deid.destination_config import check_destinations
from orthanc_deid.errors import DeidError, ProfileError
from orthanc_deid.explain import explain
from orthanc_deid.mail_config import check_mail
from orthanc_deid.numbering import check_numbering
from orthanc_deid.old_env import inventory_of
from orthanc_deid.profile import (
    BUILT_IN,
    DEFAULT,
    check_profiles,
    load_profile,
    parse_profile,
)
from orthanc_deid.projects import check_projects

# Checking a profile must work with pydicom alone, so the service's commands, which need all the
# rest, are not even imported for these.
_OWN_COMMANDS = frozenset({"explain", "import-old-env", "profile", "run", "settings"})

_RUN_HELP = """\
De-identify every DICOM file below IN_DIR into the same tree below OUT_DIR.

A study goes out whole or not at all: if one of its instances fails, none of the study's files
are written, since a study with holes misleads whoever reads it. All other studies go on. The files
that failed are listed at the end with the reason, and the exit status is then 1.

Folder and file names stay, but for those that hold an identifier of the patient (the new patient
ID, or the new SOP Instance UID, takes their place) and those that hold the study's UIDs.

The secret and the crosswalk link the output to the patients. Keep them as safe as the originals:
with both, the same patient gets the same number and UIDs in the next run.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 1 after failures, 2 for a wrong call."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="orthanc-deid", description="De-identify DICOM by PS3.15 Annex E."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_profile(commands)
    _add_settings(commands)
    _add_explain(commands)
    _add_import_old_env(commands)
    if not arguments or arguments[0] not in _OWN_COMMANDS:
        from orthanc_deid import service_cli  # noqa: PLC0415

        service_cli.register(commands)
    parsed = parser.parse_args(arguments)
    try:
        status = int(parsed.run(parsed))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough, as `head` does; nothing is left to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ProfileError as error:
        for problem in error.problems:
            print(f"orthanc-deid: {problem}", file=sys.stderr)
        return 1
    except DeidError as error:
        print(f"orthanc-deid: {error}", file=sys.stderr)
        return 2
    return status


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="de-identify a directory tree",
        description=_RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("in_dir", metavar="IN_DIR", type=Path, help="read, never written")
    run.add_argument("out_dir", metavar="OUT_DIR", type=Path, help="made where missing")
    run.add_argument(
        "--profile",
        metavar="FILE|NAME",
        default=DEFAULT,
        help=f"a TOML file, or one of {', '.join(BUILT_IN)} (default: %(default)s)",
    )
    run.add_argument(
        "--secret-file",
        metavar="FILE",
        type=Path,
        help="the secret that UIDs are made with; made on first use "
        "(default: uid.key in $XDG_DATA_HOME/orthanc-deid)",
    )
    run.add_argument(
        "--crosswalk",
        metavar="URL",
        help="database of the subjects, such as postgresql://user@host/philookup "
        "(default: an SQLite file in $XDG_DATA_HOME/orthanc-deid)",
    )
    run.add_argument(
        "--project", default="default", help="patients get another number in each project"
    )
    run.add_argument(
        "--base-name",
        metavar="NAME",
        default="ANON",
        help="what pseudonyms begin with, as in ANON_ID000001 (default: %(default)s)",
    )
    run.add_argument(
        "--subject-per",
        choices=("patient", "accession"),
        default="patient",
        help="what gets a number: a patient, or each of a patient's accessions "
        "(default: %(default)s)",
    )
    run.add_argument(
        "--issuer",
        metavar="NAME",
        default="",
        help="your own Issuer of Patient ID: a Patient ID without an issuer is one of these",
    )
    run.add_argument(
        "--keep-dates",
        action="store_true",
        help="leave dates as they are, whatever the profile says; the output tells so",
    )
    run.add_argument(
        "--mapping",
        metavar="DIR",
        type=Path,
        help="write uid_mapping.csv and patid_mapping.csv (id_old,id_new) there, for an honest "
        "broker; never in OUT_DIR, since they link it to the patients",
    )
    run.add_argument(
        "--jobs",
        metavar="N",
        type=int,
        default=os.cpu_count() or 1,
        help="processes that work at the same time (default: one for each core, %(default)s)",
    )
    run.add_argument(
        "--enqueue",
        action="store_true",
        help="share the work with other machines: give each of them the same command, with the "
        "same --secret-file, a --crosswalk in PostgreSQL, and the directories at the same paths",
    )
    run.add_argument(
        "--again",
        action="store_true",
        help="do all studies again, those too whose output is there",
    )
    run.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from orthanc_deid import tree_cli  # noqa: PLC0415 - needs the database and rich

    return tree_cli.run(arguments)


def _add_profile(commands: Any) -> None:
    profile = commands.add_parser("profile", help="work with profiles").add_subparsers(
        required=True, metavar="COMMAND"
    )
    check = profile.add_parser(
        "check",
        help="say whether a profile can be used",
        description="Check a profile and print all that is wrong with it; exit status 1 if any is.",
    )
    check.add_argument("source", metavar="FILE|NAME|-", help="TOML or JSON; - reads standard input")
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    source = parse_profile(sys.stdin.read()) if arguments.source == "-" else arguments.source
    profile = load_profile(source)
    print(f"profile {profile.name} can be used (digest {profile.digest[:12]})")
    return 0


def _add_import_old_env(commands: Any) -> None:
    parser = commands.add_parser(
        "import-old-env",
        help="print an inventory's variables from the old setup's .env",
        description="Print variables for inventories/mine/group_vars/all.yml from the .env of the "
        "old setup. What is not taken over is listed by name; no secret is shown.",
    )
    parser.add_argument("file", metavar="ENV", type=Path, help="the old .env")
    parser.set_defaults(run=_import_old_env)


def _import_old_env(arguments: argparse.Namespace) -> int:
    try:
        lines = arguments.file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        print(f"orthanc-deid: {arguments.file} cannot be read: {error}", file=sys.stderr)
        return 1
    print(inventory_of(lines), end="")
    return 0


_SETTINGS: dict[str, Callable[[Any], list[str]]] = {
    "profiles": check_profiles,
    "numbering": check_numbering,
    "projects": check_projects,
    "destinations": check_destinations,
    "mail": check_mail,
}


def _add_settings(commands: Any) -> None:
    settings = commands.add_parser(
        "settings", help="work with the settings of the service"
    ).add_subparsers(required=True, metavar="COMMAND")
    check = settings.add_parser(
        "check",
        help="say whether settings can be used",
        description="Check settings, and print all that is wrong with them; exit status 1 if "
        f"anything is. They come as one JSON object with any of {', '.join(_SETTINGS)}, on "
        "standard input, since they may hold passwords.",
    )
    check.set_defaults(run=_check_settings)


def _check_settings(_arguments: argparse.Namespace) -> int:
    try:
        given = json.load(sys.stdin)
    except ValueError as error:
        raise DeidError(f"the settings are not JSON: {error}") from None
    problems = [
        problem
        for name, check in _SETTINGS.items()
        if name in given
        for problem in check(given[name])
    ]
    for problem in problems:
        print(f"orthanc-deid: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _add_explain(commands: Any) -> None:
    explain = commands.add_parser(
        "explain",
        help="say what a profile does to attributes, and by which rule",
        description="Say what happens to attributes, and by which rule. "
        "Without ATTRIBUTE: to every attribute of PS3.15 Table E.1-1.",
    )
    explain.add_argument(
        "attributes",
        metavar="ATTRIBUTE",
        nargs="*",
        help="keyword or gggg,eeee; inside a sequence: SEQUENCE/ATTRIBUTE",
    )
    explain.add_argument("--profile", metavar="FILE|NAME", default=DEFAULT)
    explain.add_argument(
        "--sop-class",
        metavar="NAME|UID",
        default="",
        help="whose attribute Types decide, such as CT or EnhancedMR (default: Types not known)",
    )
    explain.set_defaults(run=_explain)


def _explain(arguments: argparse.Namespace) -> int:
    profile = load_profile(arguments.profile)
    for told in explain(profile, arguments.sop_class, arguments.attributes):
        kind = f", Type {told.kind}" if told.kind else ""
        print(f"{told.attribute} [{told.vr}{kind}] {told.what} ({told.rule})")
    return 0
