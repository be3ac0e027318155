#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How well identifiers are taken out, by this engine and by its peers, side by side.

Unique text is planted in every attribute of PS3.15 Table E.1-1, at the top level and in sequences,
in private elements, in free text and in the head of each file. Then each anonymizer runs, and its
output is judged.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path

from quality import orthanc_container
from quality.anonymizers import NAMES, anonymizer
from quality.corpus import Sample, made_samples, real_samples
from quality.trial import Result, summary, try_file

TOKENS_PER_FILE = 100_000
SHORT_STEP = 16
OWN_NAMES = frozenset({"research", "basic", "full_dates"})
COLUMNS = ("leaks", "wrong", "lost", "errors", "pixels", "uids", "dates")
HEADS = ("leaks", "wrong", "lost", "invalid", "pixels", "UIDs", "dates")
EXPLANATION = """\
leaks    planted text found in any byte of the output
wrong    attributes that became what Table E.1-1, the options claimed and the Type do not allow
lost     attributes that no rule touches and that are gone or changed
invalid  errors of dciodvfy that the input had not
pixels   pixel data that are not the same bytes
UIDs     UIDs that became two, or two that became one
dates    dates that moved by other than the other dates of the file
held     files that wait for a person (pixels taken out, their attributes are judged all the same)
failed   files without output"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench; the exit status is 1 if this project's engine has a finding."""
    arguments = _arguments(argv)
    if arguments.sum:
        results = _sum_of_parts(arguments.sum)
    else:
        names = arguments.only or list(NAMES)
        with ExitStack() as stack:
            url = ""
            if "orthanc" in names:
                image = orthanc_container.image()
                if image is None:
                    print("no image of Orthanc: run make demo first, or leave it out with --only",
                          file=sys.stderr)  # fmt: skip
                    return 2
                url = stack.enter_context(orthanc_container.running(image))
            results = _run(list(_chosen(arguments)), names, url)
    if arguments.save:
        arguments.save.write_text(
            json.dumps({name: result.to_json() for name, result in results.items()}) + "\n"
        )
    for name in OWN_NAMES & results.keys():
        results[name].compare_files()
    figures = [summary(result) for result in results.values()]
    print(_table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    own = [row for row in figures if row["name"].startswith("orthanc_deid")]
    return int(
        any(row[column] for row in own for column in COLUMNS) or any(r["failed"] for r in own)
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--short", action="store_true", help=f"one file of {SHORT_STEP} only")
    parser.add_argument(
        "--part", metavar="K/N", type=_part, default=(1, 1),
        help="every Nth file only, from the Kth on",
    )  # fmt: skip
    parser.add_argument(
        "--save", metavar="FILE", type=Path, help="write what was found there, for --sum"
    )
    parser.add_argument(
        "--sum", metavar="FILE", type=Path, nargs="+", help="run nothing, but add up saved parts"
    )
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="write the figures there, with examples"
    )
    parser.add_argument(
        "--corpus", choices=("all", "real", "made"), default="all",
        help="pydicom's files, one made for each kind of object, or both (default)",
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    return parser.parse_args(argv)


def _part(text: str) -> tuple[int, int]:
    part, _, of = text.partition("/")
    try:
        number, count = int(part), int(of)
    except ValueError:
        raise argparse.ArgumentTypeError("write K/N, such as 3/8") from None
    if not 0 < number <= count:
        raise argparse.ArgumentTypeError("K must be 1 to N")
    return number, count


def _chosen(arguments: argparse.Namespace) -> Iterator[tuple[int, Sample]]:
    """Yield the files that are asked for, with their numbers in the whole corpus."""
    samples = chain(
        real_samples() if arguments.corpus != "made" else (),
        made_samples() if arguments.corpus != "real" else (),
    )
    number, count = arguments.part
    step = SHORT_STEP if arguments.short else 1
    return islice(enumerate(samples), (number - 1) * step, None, step * count)


def _sum_of_parts(files: list[Path]) -> dict[str, Result]:
    totals: dict[str, Result] = {}
    for file in files:
        for name, saved in json.loads(file.read_text()).items():
            result = Result.from_json(saved)
            totals.setdefault(name, Result(result.name, result.version)).add(result)
    return totals


def _run(samples: list[tuple[int, Sample]], names: list[str], url: str) -> dict[str, Result]:
    totals = {name: Result.of(anonymizer(name, url)) for name in names}
    started = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = [
            pool.submit(_try, sample, number * TOKENS_PER_FILE, names, url)
            for number, sample in samples
        ]
        for number, job in enumerate(jobs, 1):
            for name, result in zip(names, job.result(), strict=True):
                totals[name].add(result)
            print(f"\r{number}/{len(jobs)} files, {time.monotonic() - started:.0f} s",
                  end="", file=sys.stderr, flush=True)  # fmt: skip
    print(file=sys.stderr)
    return totals


def _try(sample: Sample, first_token: int, names: list[str], url: str) -> list[Result]:
    warnings.simplefilter("ignore")
    return try_file(sample, first_token, [anonymizer(name, url) for name in names])


def _table(figures: list[dict[str, object]]) -> str:
    first = figures[0]
    lines = [f"{first['files']} files, {first['tokens']} planted tokens", ""]
    heads = ["", *HEADS, "held", "failed", "seconds"]
    rows = [
        [f"{row['name']} {row['version']}", *(str(row[column]) for column in COLUMNS),
         _sum(row["quarantined"]), _sum(row["failed"]), str(row["seconds"])]
        for row in figures
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    for row in [heads, *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    held = [f"{row['name']} held: {row['quarantined']}" for row in figures if row["quarantined"]]
    return "\n".join([*lines, *held])


def _sum(counted: object) -> str:
    return str(sum(counted.values())) if isinstance(counted, dict) else ""


if __name__ == "__main__":
    sys.exit(main())
