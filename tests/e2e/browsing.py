# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person with a browser does on the site, and what the browser complains of."""

from __future__ import annotations

import json
import urllib.parse
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Locator, Page, Request

import deployed

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHI = "/e2e-phi"
ATTEMPTS = 4


class Visitor:
    """A person who is signed on, with one page.

    Attributes:
        complaints: errors of scripts, violations of the policy, requests to other sites, and
            dialogs that nobody asked for.
    """

    def __init__(self, browser: Browser, name: str, directory: Path, **options: Any) -> None:
        self.name = name
        self.complaints: list[str] = []
        self._directory = directory
        password = (deployed.CONFIG / "apache/secrets/users" / name).read_text().strip()
        self.context = browser.new_context(
            base_url=self.site,
            http_credentials={"username": name, "password": password},
            ignore_https_errors=True,
            timezone_id="Asia/Tokyo",
            **{"viewport": {"width": 1280, "height": 860}, **options},
        )
        self.context.set_default_timeout(30_000)
        self.page = self.context.new_page()
        self._watch(self.page)

    @property
    def site(self) -> str:
        """The address of the site."""
        return f"https://localhost:{deployed.FRONT}"

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.on("request", self._asked)
        page.on(
            "console",
            lambda said: (
                self.complaints.append(said.text) if "Content Security" in said.text else None
            ),
        )

    def _asked(self, request: Request) -> None:
        host = urllib.parse.urlsplit(request.url).netloc
        if host not in {"", f"localhost:{deployed.FRONT}"}:
            self.complaints.append(f"asked {host}")

    def open(self, path: str) -> Page:
        """Open a page below `/extra/` and wait until it knows who looks at it.

        Chromium drops what it loads when a network of this machine comes or goes, as containers
        make it do; then the page is opened again.
        """
        for attempt in range(ATTEMPTS):
            try:
                self.page.goto(f"{PHI}/extra/{path}")
                self.page.wait_for_selector("body[data-ready]", timeout=10_000)
            except Error:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                break
        return self.page

    def row(self, text: str) -> Locator:
        """Return the row of the table that holds a text."""
        return self.page.locator("#rows tr").filter(has_text=text)

    def api(self, path: str) -> Any:
        """Return what the API answers to this person."""
        answer = self.context.request.get(f"{PHI}/deid/v1/{path}")
        return json.loads(answer.text())

    def leave(self) -> None:
        """Close the browser's window."""
        self.context.close()
