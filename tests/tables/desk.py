# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages with the API behind them, on a real PostgreSQL: without Orthanc, Apache or containers.

Each request names the account that Apache would have chosen; `access.toml` decides, as on a site.
"""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
import tomllib
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from playwright.sync_api import Page

import access
import page_files
from orthanc_deid.admission import Admission
from orthanc_deid.anonymization import StudyRunner
from orthanc_deid.api import Api, Request
from orthanc_deid.courier import Courier
from orthanc_deid.crosswalk import Crosswalk
from orthanc_deid.destination_config import DestinationConfig
from orthanc_deid.destinations_orthanc import OrthancDestination
from orthanc_deid.downloads import Downloads
from orthanc_deid.engine import Engine
from orthanc_deid.identity import read_identity
from orthanc_deid.keys import Keys
from orthanc_deid.profile import load_profile
from orthanc_deid.rest import Offer, Site, StudyRoutes, study_finder
from orthanc_deid.rest_lookup import LookupRoutes
from orthanc_deid.rest_me import MeRoutes
from orthanc_deid.rest_patients import PatientRoutes
from orthanc_deid.rest_review import ReviewRoutes
from orthanc_deid.rest_search import SearchRoutes
from orthanc_deid.rest_work import WorkRoutes
from orthanc_deid.states import UNFINISHED
from orthanc_deid.study_deidentification import Deidentification

from .dicom_orthanc import DicomOrthanc, server_of

PAGES = Path(page_files.__file__).parents[2] / "orthanc_phi/files/pages"
OFFERS = {
    "anonymize": ("POST", f"/deid/v1/studies/{'-'.join(['0' * 8] * 5)}/anonymize"),
    "release": ("POST", f"/deid/v1/studies/{'-'.join(['0' * 8] * 5)}/release"),
    "fetch": ("POST", "/deid/v1/fetches"),
    "lookup": ("GET", "/extra/lookup/master/lookuptable.html"),
    "review": ("GET", "/extra/review/quarantine.html"),
    "work": ("GET", "/extra/work/work.html"),
}
Answer = tuple[int, str, bytes, dict[str, str]]
Open = Callable[..., Page]
Picture = Callable[[Page, str], None]
STUDIES = 100_000
DEMO = Offer("default", "DEMO", ("anon", "disk"))
LUNG = Offer("lung", "LUNG", ("anon",), review=True)


class Desk:
    """All that the pages ask, and the worker behind it."""

    def __init__(self, url: sa.URL, spool: Path, libraries: Path) -> None:
        self.crosswalk = Crosswalk(url, base_name="DEMO")
        self.phi, self.anon = DicomOrthanc("PHI"), DicomOrthanc("anon")
        self._libraries = libraries
        table = tomllib.loads(access.TABLE.read_text(encoding="utf-8"))
        self._access = access.Table(table, "phi")
        self._runner = self._make_runner(spool)
        self._downloads = Downloads()
        self._api = self._make_api(spool)
        self._working = threading.Lock()

    def _make_runner(self, spool: Path) -> StudyRunner:
        profile = load_profile("research", {})
        engine = Engine(profile, Keys.derive(b"k" * 32, "default"))
        deidentification = Deidentification(engine, read_identity, profile.number_modifiers)
        return StudyRunner(
            crosswalk=self.crosswalk,
            source=self.phi.client(),
            deidentification=lambda _profile: deidentification,
            courier=Courier(self.crosswalk.studies, [OrthancDestination(self.anon.client())]),
            spool_dir=spool,
        )

    def _make_api(self, spool: Path) -> Api:
        config: Any = SimpleNamespace(
            timezone="Europe/Berlin",
            orthanc=server_of(spool),
            destinations=[DestinationConfig("anon", "orthanc", server_of(spool))],
            public_urls={"anon": "/anon/"},
        )
        phi = self.phi.client()
        lung = Crosswalk(self.crosswalk.engine, base_name="LUNG", project="lung")
        parts = (
            MeRoutes(config),
            StudyRoutes(
                self.crosswalk.studies, self, study_finder(phi), Site(["basic"], [DEMO, LUNG])
            ),
            SearchRoutes(self.crosswalk.held),
            PatientRoutes(self.crosswalk, {DEMO.project: self.crosswalk, LUNG.project: lung}),
            LookupRoutes(self.crosswalk, self._downloads),
            self._downloads,
            ReviewRoutes(self.crosswalk, self, phi),
            WorkRoutes(config, self.crosswalk),
        )
        return Api([route for part in parts for route in part.routes()])

    def put(self, study_id: int, delay: float = 0) -> None:
        """Have a study worked on, as a worker would, beside the request that asks for it."""
        assert not delay
        threading.Thread(target=self._work, args=(study_id,), daemon=True).start()

    def _work(self, study_id: int) -> None:
        with self._working:
            self._runner.run(study_id)

    def admit(self) -> None:
        """Take up all that PHI holds, and wait until it is worked on."""
        admission = Admission(self.crosswalk.studies, self, automatic=True)
        for study in self.phi.studies():
            admission.consider(self.phi.client().study(study))
        deadline = time.monotonic() + 120
        while left := self.crosswalk.studies.in_states(UNFINISHED):
            assert time.monotonic() < deadline, f"not worked on: {left}"
            time.sleep(0.05)

    def answer(self, method: str, path: str, account: str, body: bytes) -> Answer:
        """Answer one request of a browser."""
        path, _, query = path.partition("?")
        if path.startswith("/anon/"):
            return (*self.anon.answer(method, path.removeprefix("/anon"), body), {})
        if self._access.effect(account, method, path) is None:
            return 403, "application/json", b"", {}
        if path == "/page-token":
            return 200, "application/json", b'{"token": "x"}', {}
        if path.startswith("/deid/v1/"):
            return self._api_answer(method, path, query, account, body)
        if path.startswith("/extra/"):
            return self._file(path.removeprefix("/extra/"))
        return (*self.phi.answer(method, path, body), {})

    def _api_answer(self, method: str, path: str, query: str, account: str, body: bytes) -> Answer:
        may = frozenset(
            name for name, route in OFFERS.items() if self._access.effect(account, *route)
        )
        status, content = self._api.answer(
            Request(
                method,
                path.removeprefix("/deid/v1"),
                dict(urllib.parse.parse_qsl(query)),
                body.decode(),
                account,
                "hana",
                may=may,
            )
        )
        if piece := content.get("download"):
            sent = base64.b64decode(piece["data"])
            headers = {
                "Content-Disposition": f'attachment; filename="{piece["name"]}"',
                "X-Download": piece["number"],
            }
            while not piece["last"]:
                _, piece = self._downloads.more(piece["number"])
                sent += base64.b64decode(piece["data"])
            return 200, "application/octet-stream", sent, headers
        return status, "application/json", json.dumps(content).encode(), {}

    def _file(self, name: str) -> Answer:
        place = self._libraries / name[4:] if name.startswith("lib/") else PAGES / name
        if not place.is_file():
            return 404, "text/plain", b"", {}
        media_type = page_files.TYPES.get(place.suffix, page_files.OTHER_TYPE)
        return 200, media_type, place.read_bytes(), dict(page_files.HEADERS)


def serve(desk: Desk) -> http.server.ThreadingHTTPServer:
    """Serve a desk on a free port of this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _go(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            account = self.headers.get("X-Account", "")
            status, media_type, content, more = desk.answer(self.command, self.path, account, body)
            self.send_response(status)
            for name, value in {
                "Content-Type": media_type,
                "Content-Length": str(len(content)),
                **more,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _go  # noqa: N815 - the names that http.server calls

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
