# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person tries who may sign on and look, and wants more."""

from __future__ import annotations

import base64
import socket
import ssl
import time

import httpx
import pytest

import deployed
from deployed import CONFIG, FRONT

VIEWER = "a signed-in viewer"
SITE = f"https://localhost:{FRONT}"
UNKNOWN = "0123abcd-0123abcd-0123abcd-0123abcd-0123abcd"
DANGEROUS = [
    "POST /tools/execute-script",
    "POST /tools/reset",
    "POST /tools/shutdown",
    "POST /tools/create-dicom",
    "POST /tools/bulk-delete",
    "PUT /tools/log-level",
    "POST /instances",
    f"DELETE /studies/{UNKNOWN}",
    f"POST /studies/{UNKNOWN}/modify",
    f"POST /studies/{UNKNOWN}/anonymize",
    f"PUT /studies/{UNKNOWN}/labels/x",
    f"PUT /patients/{UNKNOWN}/metadata/1024",
    f"POST /instances/{UNKNOWN}/export",
    f"GET /studies/{UNKNOWN}/archive",
    "PUT /modalities/mine",
    "POST /modalities/scanner/store",
    "PUT /peers/mine",
    "POST /dicom-web/servers/mine/stow",
    "GET /jobs",
    "GET /changes",
    "GET /exports",
    "GET /tools/metrics-prometheus",
    "PUT /plugins/python",
    "GET /no/such/route",
]
CROSSWALK = [
    "GET /deid/v1/lookup",
    "POST /deid/v1/lookup",
    "GET /deid/v1/lookup/export",
    "GET /deid/v1/quarantine",
    f"POST /deid/v1/studies/{UNKNOWN}/anonymize",
    f"POST /deid/v1/studies/{UNKNOWN}/release",
    f"POST /deid/v1/studies/{UNKNOWN}/withdraw",
    "GET /extra/lookup/master/lookuptable.html",
    "GET /extra/review/index.html",
]
DISGUISED = [
    "/e2e-anon/studies/../jobs",
    "/e2e-anon/./jobs",
    "/e2e-anon//jobs",
    "//e2e-anon/jobs",
    "/e2e-anon/jobs/",
    "/e2e-anon/jobs?expand",
    "/e2e-anon/%6aobs",
    "/e2e-anon/%2e%2e/e2e-anon/jobs",
    "/e2e-anon/studies/%2e%2e/jobs",
    "/e2e-anon/studies%2f..%2fjobs",
    "/e2e-anon/app/../jobs",
    "/e2e-anon/app/%252e%252e/jobs",
    "/e2e-anon/jobs;x=/app/",
    "/e2e-anon/jobs%00/app/x",
    "/e2e-anon/jobs#/app/x",
    "/e2e-anon/app\\..\\jobs",
    "https://localhost/e2e-anon/jobs",
]


def trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CONFIG / "ca/ca.crt")


def password() -> str:
    return (CONFIG / "apache/secrets/users/vera").read_text().strip()


def vera() -> httpx.Client:
    return httpx.Client(
        base_url=SITE,
        auth=("vera", password()),
        headers={"Origin": SITE},
        verify=trust(),
        timeout=60,
    )


def raw(*requests: bytes) -> bytes:
    """Send bytes as they are over one connection; return all that comes back."""
    with (
        socket.create_connection(("localhost", FRONT), 20) as plain,
        trust().wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        for request in requests:
            secure.sendall(request)
        answer = b""
        while part := secure.recv(65536):
            answer += part
    return answer


def head(line: str, *headers: str) -> bytes:
    """Return the head of a request of the viewer's, which closes the connection."""
    user = base64.b64encode(f"vera:{password()}".encode()).decode()
    lines = [
        line,
        f"Host: localhost:{FRONT}",
        f"Authorization: Basic {user}",
        f"Origin: {SITE}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.attack(
    VIEWER,
    "scripts, resets, deletes, modifies, sends elsewhere, downloads whole studies",
    "one table of routes, denied by default, in the Orthanc itself",
)
@pytest.mark.parametrize("kind", ["phi", "anon", "disk"])
def test_no_dangerous_route_is_open(kind: str) -> None:
    with vera() as client:
        for route in DANGEROUS:
            method, path = route.split()
            answer = client.request(method, f"/e2e-{kind}{path}", content=b"{}")
            assert answer.status_code == httpx.codes.FORBIDDEN, route


@pytest.mark.attack(VIEWER, "reads the crosswalk, or decides about quarantine", "the same table")
def test_the_crosswalk_is_closed() -> None:
    with vera() as client:
        for route in CROSSWALK:
            method, path = route.split()
            answer = client.request(method, f"/e2e-phi{path}")
            assert answer.status_code == httpx.codes.FORBIDDEN, route


@pytest.mark.attack(
    VIEWER,
    "disguises a path: dots, slashes, encodings, null bytes, backslashes, absolute URLs",
    "Apache normalizes or refuses; the Orthanc matches whole paths",
)
@pytest.mark.parametrize("path", DISGUISED)
def test_a_disguised_path_opens_nothing(path: str) -> None:
    status = raw(head(f"GET {path} HTTP/1.1", "Connection: close")).split(b" ", 2)[1]

    assert status in {b"301", b"302", b"400", b"403", b"404", b"421"}, status


@pytest.mark.attack(
    VIEWER,
    "smuggles a second request past Apache in the body of the first",
    "Apache refuses both lengths at once, and writes each request anew",
)
@pytest.mark.parametrize("encoding", ["chunked", "\tchunked", "xchunked", "chunked, identity"])
def test_a_request_inside_another_is_never_carried_out(encoding: str) -> None:
    hidden = (
        f"DELETE /studies/{UNKNOWN} HTTP/1.1\r\nHost: x\r\nX-Remote-User: adam\r\n\r\n".encode()
    )
    body = b"0\r\n\r\n" + hidden
    since = time.time()
    raw(
        head(
            "POST /e2e-anon/tools/find HTTP/1.1",
            f"Content-Length: {len(body)}",
            f"Transfer-Encoding: {encoding}",
            "Connection: close",
        ),
        body,
    )
    log = deployed.docker("logs", "--since", f"{since:.3f}", "e2e-anon")

    assert "DELETE" not in log


@pytest.mark.attack(
    VIEWER, "uses methods that nobody needs: TRACE, PROPFIND, CONNECT, PATCH", "refused"
)
@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "MKCOL", "CONNECT", "PATCH", "DEBUG"])
def test_a_strange_method_gets_nothing(method: str) -> None:
    answer = raw(head(f"{method} /e2e-anon/studies HTTP/1.1", "Connection: close"))
    status = int(answer.split(b" ", 2)[1])

    assert 400 <= status < 600, answer[:200]


@pytest.mark.attack(
    VIEWER,
    "says to be somebody else, by header, cookie or method in disguise",
    "Apache drops such headers and sets its own",
)
def test_no_header_makes_an_administrator_of_a_viewer() -> None:
    claims = {
        "X-Remote-User": "adam",
        "Remote-User": "adam",
        "X-Forwarded-User": "adam",
        "OIDC_CLAIM_groups": "administrators",
        "Cookie": "e2e-orthanc_session=adam",
        "Connection": "Authorization, X-Remote-User",
        "X-HTTP-Method-Override": "GET",
        "X-Original-URL": "/e2e-anon/studies",
        "X-Rewrite-URL": "/e2e-anon/studies",
    }
    with vera() as client:
        for name, value in claims.items():
            answer = client.get("/e2e-anon/jobs", headers={name: value})
            assert answer.status_code == httpx.codes.FORBIDDEN, name


@pytest.mark.attack(
    VIEWER,
    "injects SQL by a search, or by QIDO-RS",
    "Orthanc's statements have parameters; nothing is found and nothing breaks",
)
@pytest.mark.parametrize("text", ["' OR '1'='1", "'; DROP TABLE resources; --", "\\x00'", "%27"])
def test_a_search_is_no_sql(text: str) -> None:
    with vera() as client:
        query = {"Level": "Study", "Query": {"PatientName": text}}
        found = client.post("/e2e-anon/tools/find", json=query)
        listed = client.get("/e2e-anon/dicom-web/studies", params={"PatientName": text})
        after = client.get("/e2e-anon/statistics")

    assert found.json() == []
    assert listed.json() == []
    assert after.is_success


@pytest.mark.attack(
    VIEWER,
    "lures an administrator's browser to a page that deletes",
    "Origin and Sec-Fetch-Site must be the site's own",
)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://localhost"])
def test_another_sites_page_changes_nothing(origin: str) -> None:
    secret = (CONFIG / "apache/secrets/users/adam").read_text().strip()
    with httpx.Client(base_url=SITE, auth=("adam", secret), verify=trust()) as adam:
        for headers in ({"Origin": origin}, {"Origin": SITE, "Sec-Fetch-Site": "cross-site"}):
            answer = adam.delete(f"/e2e-anon/studies/{UNKNOWN}", headers=headers)
            assert answer.status_code == httpx.codes.FORBIDDEN
        own = adam.delete(f"/e2e-anon/studies/{UNKNOWN}", headers={"Origin": SITE})
        assert own.status_code == httpx.codes.NOT_FOUND


@pytest.mark.attack(
    VIEWER, "knows an Orthanc's port, and asks past Apache", "it has passwords of its own"
)
@pytest.mark.parametrize("kind", ["phi", "anon", "disk"])
def test_a_persons_password_is_none_of_an_orthancs(kind: str) -> None:
    with deployed.client(kind, "vera", password()) as client:
        assert client.get("/system").status_code == httpx.codes.UNAUTHORIZED
    with deployed.client(kind, "administrator", password()) as client:
        assert client.get("/system").status_code == httpx.codes.UNAUTHORIZED
