# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, as cron and the playbooks call it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from orthanc_certificates.config import Config, read_config
from orthanc_certificates.errors import CertificateError
from orthanc_certificates.following import follow
from orthanc_certificates.renewal import authority_complaint, needs_renewal, renew

CONFIG = Path(__file__).resolve().parents[1] / "config.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; print what was done, and on standard error what a person has to do."""
    os.umask(0o077)
    told = _parser().parse_args(arguments)
    problems: list[str] = []
    try:
        config = read_config(told.config)
        if told.command == "watch":
            for line in _renewed(config, problems):
                print(line, flush=True)
        for line in _followed(config, told.only or [], problems):
            print(line, flush=True)
    except CertificateError as error:
        problems.append(str(error))
    for problem in problems:
        print(f"orthanc-certificates: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _renewed(config: Config, problems: list[str]) -> Iterator[str]:
    for certificate in config.certificates:
        with _noted(problems):
            if needs_renewal(config, certificate):
                renew(config, certificate)
                yield f"The certificate {certificate.name} of {config.name} was renewed."
    with _noted(problems):
        if complaint := authority_complaint(config):
            problems.append(complaint)


def _followed(config: Config, only: Sequence[str], problems: list[str]) -> Iterator[str]:
    for certificate in config.certificates:
        if not only or certificate.name in only:
            with _noted(problems):
                if done := follow(certificate):
                    yield done


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    """Note what goes wrong with one certificate, and go on with the others."""
    try:
        yield
    except (CertificateError, OSError) as error:
        problems.append(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="orthanc-certificates", description=__doc__)
    parser.add_argument("--config", type=Path, default=CONFIG, help="the role's settings")
    commands = parser.add_subparsers(dest="command", required=True)
    watch = commands.add_parser("watch", help="renew what ends soon, and have the servers follow")
    following = commands.add_parser("follow", help="have the servers follow")
    for command in (watch, following):
        command.add_argument("--only", action="append", help="this certificate's server only")
    return parser
