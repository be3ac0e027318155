# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch the libraries of the pages from an npm registry: the listed files, nothing is run.

Each package must have the digest that browser_libraries.json tells, whoever answers.
"""

import base64
import hashlib
import io
import json
import ssl
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_name("browser_libraries.json")
SECONDS = 120


def fetch(registry: str, library: dict[str, Any], trust: ssl.SSLContext) -> bytes:
    """Return a package as the registry holds it, if it is the one that is meant."""
    name, version = library["package"], library["version"]
    url = f"{registry.rstrip('/')}/{name}/-/{name}-{version}.tgz"
    with urllib.request.urlopen(url, timeout=SECONDS, context=trust) as answer:  # noqa: S310
        content: bytes = answer.read()
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if f"sha512-{digest}" != library["integrity"]:
        sys.exit(f"{url} is not what {LIST.name} tells: its digest is sha512-{digest}")
    return content


def main(registry: str, bundle: str, target: str) -> None:
    """Put the files into `target`; an empty `bundle` leaves Python with its own certificates."""
    trust = ssl.create_default_context()
    if Path(bundle).stat().st_size:
        trust.load_verify_locations(bundle)
    directory = Path(target)
    directory.mkdir(parents=True)
    for library in json.loads(LIST.read_text(encoding="utf-8")):
        content = fetch(registry, library, trust)
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for source, name in library["files"].items():
                member = archive.extractfile(f"package/{source}")
                if member is None:
                    sys.exit(f"{library['package']} {library['version']} has no file {source}")
                (directory / name).write_bytes(member.read())
                (directory / name).chmod(0o644)


if __name__ == "__main__":
    main(*sys.argv[1:])
