# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of an honest broker: subjects and their numbers, and the mapping of old to new."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.table import Table

from orthanc_deid.admission import Admission
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.errors import DeidError
from orthanc_deid.job_queue import open_queue
from orthanc_deid.subject_list import read_list
from orthanc_deid.subjects import Identifier, KnownSubject, Subjects

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from orthanc_deid.config import Config

Add = Callable[..., argparse.ArgumentParser]

_LOAD_HELP = """\
Load a list that gives subject numbers or pseudonyms: CSV in UTF-8 with these headings.

  patient_id   Patient ID (0010,0020)
  issuer       Issuer of Patient ID (0010,0021); empty is the site's own (optional)
  accession    Accession Number (0008,0050); empty is all of the patient (optional)
  number       the subject number
  pseudonym    the new Patient ID, where it does not follow from the number
  name         the new Patient's Name, where it is not the pseudonym (optional)

Of number and pseudonym one is enough. The list is loaded whole or, if any of its lines clashes
with another one or with the crosswalk, not at all; every clash is told with its line. What is
known already may be in the list again. Afterwards the studies that waited for it go on.
"""
_MERGE_HELP = """\
Join two subjects that are one person: every Patient ID of OTHER leads to KEEP from now on.

If studies have gone out as OTHER's, they stay under its pseudonym at their destinations. So this
is refused then; with --force it is done, and you are told which studies to delete there and to
send again.
"""
_MAPPING_HELP = """\
Write uid_mapping.csv and patid_mapping.csv (id_old,id_new) for what has gone out: every kind of
UID, and the Patient IDs. The UIDs are read from the originals on the PHI Orthanc; the exit status
is 1 if it does not hold all of them any more.

The files tell who the patients are. Only their owner can read them; remove them after use. In a
worker's container name a directory below /var/spool/orthanc-deid, which is on the host, too.
"""


def register(subparsers: Any, add: Add) -> None:
    """Add the commands; `add` adds one with its function and purpose."""
    words = subparsers.add_parser(
        "subjects", help="show subjects and their numbers, load a list of them, merge two"
    ).add_subparsers(required=True, metavar="COMMAND")

    shown = add(words, "list", _list, "show all subjects, or those that TEXT finds")
    shown.add_argument(
        "text", metavar="TEXT", nargs="?", help="a number, Patient ID, accession or pseudonym"
    )
    shown.add_argument("--json", action="store_true", help="print JSON instead of a table")

    load = add(words, "load", _load, "load a list that gives subject numbers or pseudonyms")
    _describe(load, _LOAD_HELP)
    load.add_argument("file", metavar="FILE", help="the list; - reads standard input")
    load.add_argument("--dry-run", action="store_true", help="look for clashes, and change nothing")
    load.add_argument(
        "--former-ids",
        action="store_true",
        help="let several Patient IDs have one number: they are one person's",
    )
    _add_actor(load)

    merge = add(words, "merge", _merge, "join two subjects that are one person")
    _describe(merge, _MERGE_HELP)
    merge.add_argument("keep", metavar="KEEP", type=int, help="the number that stays")
    merge.add_argument("other", metavar="OTHER", type=int, help="the number that goes")
    merge.add_argument("--force", action="store_true", help="also if studies have gone out")
    _add_actor(merge)

    mapping = add(subparsers, "mapping", _mapping, "write which identifier became which new one")
    _describe(mapping, _MAPPING_HELP)
    mapping.add_argument("out_dir", metavar="OUT_DIR", type=Path, help="made where missing")
    mapping.add_argument(
        "--subject", metavar="N", type=int, action="append", default=[], help="only this number's"
    )
    _add_actor(mapping)


def _describe(parser: argparse.ArgumentParser, text: str) -> None:
    parser.description = text
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def _add_actor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--by", metavar="NAME", default=account(), help="who asks, for the audit (%(default)s)"
    )


def account() -> str:
    """Return the name of who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"uid {os.getuid()}"


def _list(config: Config, arguments: argparse.Namespace) -> None:
    found = Subjects(Crosswalk.from_config(config)).find(arguments.text)
    if arguments.json:
        print(json.dumps([asdict(one) for one in found], indent=2, default=str))
    else:
        Console().print(_as_table(found))


def _as_table(found: list[KnownSubject]) -> Table:
    table = Table("subject", "pseudonym", "Patient ID", "studies")
    table.add_column("note", no_wrap=True)
    for one in found:
        table.add_row(
            f"{one.number:06d}",
            "\n".join(one.pseudonyms),
            "\n".join(_told(identifier) for identifier in one.identifiers),
            str(one.studies),
            "" if one.merged_into is None else f"merged into {one.merged_into:06d}",
        )
    return table


def _told(identifier: Identifier) -> str:
    issuer = f" of {identifier.issuer}" if identifier.issuer else ""
    accession = f", accession {identifier.accession}" if identifier.accession else ""
    return f"{identifier.patient_id}{issuer}{accession}"


def _load(config: Config, arguments: argparse.Namespace) -> None:
    crosswalk = Crosswalk.from_config(config)
    try:
        with open_text(arguments.file) as file:
            entries = read_list(file, crosswalk.numbering.issuer)
    except OSError as error:
        raise DeidError(f"{arguments.file} cannot be read: {error.strerror}") from None
    loaded = Subjects(crosswalk).load(
        entries,
        actor=arguments.by,
        former_ids=arguments.former_ids,
        dry_run=arguments.dry_run,
    )
    print(
        f"{loaded.new_subjects} new subjects, {loaded.new_identifiers} new identifiers, "
        f"{loaded.known} known already" + ("; nothing was changed" if arguments.dry_run else "")
    )
    if arguments.dry_run:
        return
    waiting = crosswalk.studies.waiting_for_list()
    with open_queue(config.database.parameters()) as queue:
        admission = Admission(crosswalk.studies, queue, automatic=True)
        for study in waiting:
            admission.request(study, actor=arguments.by, reason="a list was loaded")
    if waiting:
        print(f"{len(waiting)} studies that waited are looked at again")


def open_text(name: str) -> AbstractContextManager[TextIO]:
    """Open a text file, or standard input for `-`."""
    if name == "-":
        return nullcontext(sys.stdin)
    return Path(name).open(encoding="utf-8-sig", newline="")


def _merge(config: Config, arguments: argparse.Namespace) -> None:
    out = Subjects(Crosswalk.from_config(config)).merge(
        arguments.keep, arguments.other, actor=arguments.by, force=arguments.force
    )
    print(f"subject {arguments.other} is subject {arguments.keep} from now on")
    studies = Crosswalk.from_config(config).studies
    for number in out:
        study = studies.get(number)
        print(
            f"delete study {study.anonymous_study_uid if study else '?'} at every destination, "
            f"then: orthanc-deid retry {number}"
        )


def _mapping(config: Config, arguments: argparse.Namespace) -> None:
    # Only here and in a worker the engine is needed, whose tables take a while to load.
    from orthanc_deid import mapping  # noqa: PLC0415
    from orthanc_deid.engine import Engine  # noqa: PLC0415
    from orthanc_deid.keys import Keys  # noqa: PLC0415
    from orthanc_deid.orthanc_client import OrthancClient  # noqa: PLC0415
    from orthanc_deid.profile import load_profile  # noqa: PLC0415

    mapping.check_directory(arguments.out_dir)
    crosswalk = Crosswalk.from_config(config)
    profile = load_profile(config.profile_source(config.profile), config.site_decisions)
    engine = Engine(profile, Keys.derive(config.secret(), config.project))
    source = OrthancClient("the PHI Orthanc", config.orthanc)
    found = mapping.of_delivered(crosswalk, source, engine.map_uid, arguments.subject)
    mapping.write_mapping(arguments.out_dir, found.uids, found.patients)
    whose = ", ".join(map(str, arguments.subject)) or "all"
    crosswalk.studies.note(
        "mapping exported", actor=arguments.by, detail=f"{found.studies} studies, subjects: {whose}"
    )
    print(
        f"{len(found.uids)} UIDs and {len(found.patients)} Patient IDs of {found.studies} studies"
    )
    if found.missing:
        raise DeidError(
            "PHI does not hold all of the studies "
            f"{', '.join(map(str, found.missing))} any more: of these the mapping has only the "
            "StudyInstanceUID"
        )
