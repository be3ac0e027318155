# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the pages, as an Orthanc serves them below `/extra/`.

All of them are held in memory and looked up by their names, so that no request leads anywhere else.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
OTHER_TYPE = "text/plain; charset=utf-8"

# Nothing inside a page runs or styles itself, and nothing comes from elsewhere.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    # A browser asks each time whether its copy is still good, and mostly hears that it is.
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file: what it is, what it holds, and the tag by which a browser knows its copy."""

    media_type: str
    content: bytes
    etag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> PageFile:
        """Return the file with this name and content."""
        media_type = TYPES.get(Path(name).suffix, OTHER_TYPE)
        return cls(media_type, content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def send_page(output: Any, file: PageFile, known: str | None) -> None:
    """Send a file by Orthanc's answer, unless the browser has it already."""
    for name, value in HEADERS.items():
        output.SetHttpHeader(name, value)
    output.SetHttpHeader("ETag", file.etag)
    if known == file.etag:
        output.SendHttpStatusCode(304)
    else:
        output.AnswerBuffer(file.content, file.media_type)


class PageFiles:
    """The pages, from a tar in Base64, and the libraries that the image brings, below `lib/`.

    A playbook may replace the pages while Orthanc runs; the next request finds the new ones.
    """

    def __init__(self, archive: Path, libraries: Path) -> None:
        self._archive = archive
        self._libraries = dict(_library_files(libraries))
        self._seen: tuple[int, int] | None = None
        self._files: Mapping[str, PageFile] = {}

    def find(self, name: str) -> PageFile | None:
        """Return the file with this name, such as `scrub/study_anonymize.html`, or None.

        Raises:
            OSError: the pages cannot be read.
        """
        status = self._archive.stat()
        now = (status.st_mtime_ns, status.st_size)
        if now != self._seen:
            self._files = {**dict(_archived_files(self._archive)), **self._libraries}
            self._seen = now
        return self._files.get(name)


def _archived_files(archive: Path) -> Iterator[tuple[str, PageFile]]:
    content = base64.b64decode(archive.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            if (file := tar.extractfile(member)) is not None:
                yield member.name, PageFile.of(member.name, file.read())


def _library_files(directory: Path) -> Iterator[tuple[str, PageFile]]:
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        yield f"lib/{path.name}", PageFile.of(path.name, path.read_bytes())
