"""People who sign on at an OpenID Connect provider."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import deployed
from deployed import CONFIG, FRONT, ROOT

SITE = f"https://localhost:{FRONT}"
UNKNOWN = "0123abcd-0123abcd-0123abcd-0123abcd-0123abcd"
GROUPS = {
    "adam": ["staff", "administrators"],
    "rosa": ["researchers"],
    "otto": ["staff"],
    "olga": ["researchers-of-another-site", "not researchers", "viewers,x"],
}
PROVIDER = ROOT / ".cache/oidc"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """Run a provider on this machine, and have the site sign people on there."""
    PROVIDER.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "provider.mjs"):
        shutil.copy(Path(__file__).with_name("oidc") / name, PROVIDER)
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--silent"],
        cwd=PROVIDER, check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        ["node", "provider.mjs", url, "orthanc", "secret-of-the-tests",
         f"{SITE}/oidc/callback", json.dumps(GROUPS)],
        cwd=PROVIDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        metadata = f"{url}/.well-known/openid-configuration"
        deployed.wait_for("the provider answers", lambda: httpx.get(metadata).is_success)
        oidc = {
            "metadata_url": metadata,
            "client_id": "orthanc",
            "client_secret": "secret-of-the-tests",
        }
        settings = {"apache_proxy_sign_on": "oidc", "apache_proxy_oidc": oidc}
        deployed.playbook("site", "--tags", "apache", "-e", json.dumps(settings))
        yield url
    finally:
        process.terminate()
        process.wait()
        deployed.playbook("site", "--tags", "apache")


def browser() -> httpx.Client:
    trust = ssl.create_default_context(cafile=CONFIG / "ca/ca.crt")
    return httpx.Client(
        base_url=SITE, verify=trust, follow_redirects=True, headers={"Origin": SITE}, timeout=60
    )


def sign_on(client: httpx.Client, name: str) -> httpx.Response:
    """Ask for a page, and fill in the provider's forms on the way there."""
    answer = client.get("/e2e-phi/system")
    for form in ({"prompt": "login", "login": name, "password": "any"}, {"prompt": "consent"}):
        action = re.search(r'action="([^"]+)"', answer.text)
        assert action, answer.text[:500]
        answer = client.post(action[1], data=form)
    return answer


@pytest.mark.usefixtures("provider")
def test_a_user_gets_the_account_of_the_first_group() -> None:
    with browser() as client:
        since = time.time()
        assert sign_on(client, "adam").json()["DicomAet"] == "PHI"
        assert client.delete(f"/e2e-phi/studies/{UNKNOWN}").status_code == httpx.codes.NOT_FOUND
    log = deployed.docker("logs", "--since", f"{since:.3f}", "e2e-phi")
    assert "account=administrator user=adam@" in log or "account=administrator user=adam " in log


@pytest.mark.usefixtures("provider")
def test_another_group_has_another_account() -> None:
    with browser() as client:
        assert sign_on(client, "rosa").is_success
        assert client.get("/e2e-phi/deid/v1/status").is_success
        assert client.get("/e2e-phi/modalities").status_code == httpx.codes.FORBIDDEN


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("name", ["otto", "olga"])
def test_who_is_in_no_group_of_the_site_gets_nothing(name: str) -> None:
    with browser() as client:
        answer = sign_on(client, name)

    assert answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}


def test_without_a_session_a_browser_is_sent_to_the_provider(provider: str) -> None:
    with browser() as client:
        client.cookies.set("e2e-orthanc_session", "forged", domain="localhost")
        answer = client.get(
            "/e2e-phi/system",
            headers={"X-Remote-User": "adam", "OIDC_CLAIM_groups": "administrators"},
            follow_redirects=False,
        )

    assert answer.status_code == httpx.codes.FOUND
    assert answer.headers["Location"].startswith(f"{provider}/auth?")
    assert "code_challenge_method=S256" in answer.headers["Location"]


@pytest.mark.usefixtures("provider")
def test_a_session_is_closed_to_scripts_and_to_other_sites() -> None:
    with browser() as client:
        final = sign_on(client, "adam")
        (told,) = [
            cookie
            for response in final.history
            for cookie in response.headers.get_list("Set-Cookie")
            if cookie.startswith("e2e-orthanc_session=")
        ]
        foreign = client.delete(
            f"/e2e-phi/studies/{UNKNOWN}", headers={"Origin": "https://evil.example"}
        )

    for word in ("HttpOnly", "Secure", "SameSite=Lax"):
        assert word.lower() in told.lower()
    assert foreign.status_code == httpx.codes.FORBIDDEN
