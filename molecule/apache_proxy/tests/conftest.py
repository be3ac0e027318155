# SPDX-License-Identifier: GPL-3.0-or-later
"""The host, the provider at which people sign on, and browsers for them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator

import httpx
import pytest
from deployed_host import CACHE, GROUPS, PROVIDER, ROOT, SITE, Host, wait_for
from playwright.sync_api import Browser, BrowserContext, sync_playwright


@pytest.fixture(scope="session")
def host() -> Host:
    """The host that Molecule made."""
    name = "molecule-apache"
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    told = subprocess.run(
        ["docker", "inspect", "--format", form, name], capture_output=True, text=True, check=True
    )
    return Host(name, told.stdout.strip())


@pytest.fixture(scope="session", autouse=True)
def provider(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run the provider with a certificate that the host trusts."""
    tls = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=provider", "-addext", "subjectAltName=IP:172.17.0.1",
         "-keyout", tls / "key.pem", "-out", tls / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    place = f"{host.name}:/usr/local/share/ca-certificates/provider.crt"
    subprocess.run(["docker", "cp", tls / "cert.pem", place], check=True, capture_output=True)
    host.run("update-ca-certificates")
    directory = CACHE / "oidc"
    shutil.copytree(ROOT / "tests/e2e/oidc", directory, dirs_exist_ok=True)
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--silent"],
        cwd=directory, check=True, capture_output=True,
    )  # fmt: skip
    process = subprocess.Popen(
        ["node", "provider.mjs", PROVIDER, "orthanc", (CACHE / "oidc.client").read_text().strip(),
         f"{SITE}/oidc/callback", json.dumps(GROUPS), tls / "cert.pem", tls / "key.pem"],
        cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        metadata = f"{PROVIDER}/.well-known/openid-configuration"
        wait_for("the provider answers", lambda: httpx.get(metadata, verify=False).is_success)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def chromium(host: Host) -> Iterator[Browser]:
    """Debian's Chromium, for which the site's name leads to the host."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=[
                "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                f"--host-resolver-rules=MAP images.example.org {host.address}",
            ],
        )  # fmt: skip
        yield browser
        browser.close()


@pytest.fixture
def someone(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser that nobody has signed on with."""
    context = chromium.new_context(ignore_https_errors=True)
    yield context
    context.close()
