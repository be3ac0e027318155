# SPDX-License-Identifier: GPL-3.0-or-later
"""The host that Molecule made, and how people sign on there."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import BrowserContext, Page

ROOT = Path(__file__).parents[3]
CACHE = ROOT / ".cache/molecule"
SITE = "https://images.example.org"
PROVIDER = "https://172.17.0.1:28500"
GROUPS = {
    "adam": ["staff", "imaging-admins"],
    "hana": ["honest-brokers"],
    "rosa": ["researchers"],
    "vera": ["students"],
    "otto": ["staff"],
}


@dataclass(frozen=True)
class Host:
    """The host with systemd, Apache and the Orthancs."""

    name: str
    address: str

    def run(self, *command: str, check: bool = True) -> str:
        """Return what a command on the host prints, on both streams."""
        done = subprocess.run(
            ["docker", "exec", self.name, *command], capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def said(self, container: str, since: float) -> list[str]:
        """Return what an Orthanc's log says of access since a time."""
        log = self.run("docker", "logs", "--since", f"{since:.3f}", container)
        return [line for line in log.splitlines() if "access: " in line]


def wait_for(what: str, question: Callable[[], Any], seconds: float = 120) -> Any:
    """Return the first true answer; fail with what was waited for when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if answer := question():
                return answer
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"after {seconds:g} s still not: {what}")


def sign_on(context: BrowserContext, name: str, path: str = "/orthanc-anon/system") -> Page:
    """Ask for a page, and fill in the provider's forms on the way there."""
    page = context.new_page()
    page.goto(SITE + path)
    page.fill("input[name=login]", name)
    page.fill("input[name=password]", "any")
    page.click("button[type=submit]")
    page.wait_for_selector("input[name=prompt][value=consent]", state="attached")
    page.click("button[type=submit]")
    page.wait_for_url(f"{SITE}/**")
    return page
