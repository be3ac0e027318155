# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that takes the crosswalk of the old setup over."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.errors import DeidError
from orthanc_deid.modifiers import is_modifier
from orthanc_deid.old_crosswalk import OldCrosswalkError, Reading, read_old
from orthanc_deid.old_import import take_over
from orthanc_deid.subjects_cli import account, open_text

if TYPE_CHECKING:
    from orthanc_deid.config import Config

_HELP = """\
Take the crosswalk of the old setup over: Patient IDs, internal numbers, pseudonyms, date shifts.

DUMP is what `pg_dump philookup` wrote there, as plain SQL; - reads standard input. It is taken
over whole or, if anything in it is unclear or contradicts the crosswalk, not at all; every problem
names the row by its pid. It may be done again. Do it before the first study arrives.

A Patient ID of the old tables may end in a modifier. Name each one, and what the profile's
number_modifiers write for the same studies now, for example --modifier s=s --modifier 2d=_2d; then
set orthanc_phi_subject_per to modifier. With --accession, _ACCESSION may follow a Patient ID; then
set it to accession.
"""


def register(subparsers: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `add` adds one with its function and purpose."""
    parser = add(subparsers, "import-old", _import_old, "take the old setup's crosswalk over")
    parser.description, parser.formatter_class = _HELP, argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", metavar="DUMP", help="the old philookup as plain SQL")
    parser.add_argument(
        "--modifier", metavar="OLD=NEW", action="append", default=[], type=_pair,
        help="what a Patient ID may end in, and what the profile writes now",
    )  # fmt: skip
    parser.add_argument(
        "--accession", action="store_true", help="_ACCESSION may follow a Patient ID"
    )
    parser.add_argument(
        "--patient-id", metavar="REGEX", type=_pattern, default=r".+",
        help="what a Patient ID without all this looks like, where it is not clear",
    )  # fmt: skip
    parser.add_argument(
        "--number-is-pid", action="store_true", help="the number was simply the row's pid"
    )
    parser.add_argument(
        "--kept-dates", action="store_true", help="the old setup left dates as they were"
    )
    parser.add_argument(
        "--whole-days", action="store_true", help="round a shift of part of a day to the next one"
    )
    parser.add_argument("--dry-run", action="store_true", help="look, and change nothing")
    parser.add_argument(
        "--by", metavar="NAME", default=account(), help="who asks, for the audit (%(default)s)"
    )


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not OLD=NEW, such as 2d=_2d")
    if not is_modifier(new):
        raise argparse.ArgumentTypeError(
            f"{new!r} is no modifier of a profile: use letters, digits, underscores, no digit first"
        )
    return old, new


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no pattern: {error}") from None
    return text


def _import_old(config: Config, arguments: argparse.Namespace) -> None:
    crosswalk = Crosswalk.from_config(config)
    reading = Reading(
        modifiers=dict(arguments.modifier),
        accession=arguments.accession,
        patient_id=arguments.patient_id,
        number_is_pid=arguments.number_is_pid,
        kept_dates=arguments.kept_dates,
        whole_days=arguments.whole_days,
    )
    if reading.modifiers and config.numbering.subject_per != "modifier":
        raise DeidError("--modifier goes with orthanc_phi_subject_per: modifier; set it first")
    try:
        with open_text(arguments.file) as file:
            old = read_old(file, reading)
    except OSError as error:
        raise DeidError(f"{arguments.file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OldCrosswalkError(["this is no text in UTF-8: dump with --encoding=UTF8"]) from None
    taken = take_over(crosswalk, old, actor=arguments.by, dry_run=arguments.dry_run)
    print(
        f"{taken.new} subjects taken over, {taken.known} known already"
        + ("; nothing was changed" if arguments.dry_run else "")
    )
    _tell_what_could_not_be_kept(old.without_number, old.rounded, taken.several_names, reading)


def _tell_what_could_not_be_kept(
    without_number: int, rounded: int, several_names: int, reading: Reading
) -> None:
    if without_number:
        print(f"{without_number} Patient IDs have no number: nothing of them had gone out")
    if rounded:
        print(f"{rounded} shifts were no whole number of days: times of day stay as they are now")
    if several_names:
        print(f"{several_names} subjects had several names: from now on each has the newest one")
    if reading.kept_dates:
        print("subjects without a shift got one: it moves dates unless orthanc_phi_keep_dates")
    print("UIDs and accession numbers are made anew: a study sent again does not join its old copy")
