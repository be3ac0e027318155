"""What people reach through Apache, by who they are, and what they do not."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import Dataset

import deployed
from deployed import CONFIG, FRONT
from planted import planted_study

UNKNOWN = "0123abcd-0123abcd-0123abcd-0123abcd-0123abcd"
USERS = {
    "vera": "viewer", "rosa": "researcher", "hana": "honest_broker", "adam": "administrator",
}  # fmt: skip
EVERYBODY = set(USERS.values())
BROKERS = {"honest_broker", "administrator"}
ANONYMIZERS = {"researcher", *BROKERS}
ADMINISTRATOR = {"administrator"}
SITE = f"https://localhost:{FRONT}"

# What people may do, as docs/front_door.md promises it.
ROUTES = [
    ("phi", "GET", "/system", EVERYBODY),
    ("phi", "GET", "/app/explorer.html", EVERYBODY),
    ("phi", "POST", "/tools/find", EVERYBODY),
    ("phi", "GET", "/studies", EVERYBODY),
    ("phi", "GET", f"/instances/{UNKNOWN}/file", EVERYBODY),
    ("phi", "GET", "/dicom-web/studies", EVERYBODY),
    ("phi", "GET", "/deid/v1/status", EVERYBODY),
    ("phi", "GET", "/deid/v1/me", EVERYBODY),
    ("phi", "GET", "/extra/scrub/study_anonymize.html", EVERYBODY),
    ("phi", "POST", f"/deid/v1/studies/{UNKNOWN}/anonymize", ANONYMIZERS),
    ("phi", "GET", f"/studies/{UNKNOWN}/archive", BROKERS),
    ("phi", "GET", "/extra/lookup/master/lookuptable.html", BROKERS),
    ("phi", "POST", f"/deid/v1/studies/{UNKNOWN}/withdraw", BROKERS),
    ("phi", "POST", "/instances", BROKERS),
    ("phi", "DELETE", f"/studies/{UNKNOWN}", ADMINISTRATOR),
    ("phi", "POST", f"/studies/{UNKNOWN}/anonymize", ADMINISTRATOR),
    ("phi", "PUT", "/tools/log-level", ADMINISTRATOR),
    ("phi", "DELETE", "/modalities/nowhere", ADMINISTRATOR),
    ("phi", "GET", "/modalities", ADMINISTRATOR),
    ("phi", "GET", "/jobs", ADMINISTRATOR),
    ("phi", "GET", "/changes", ADMINISTRATOR),
    ("anon", "GET", "/studies", EVERYBODY),
    ("anon", "GET", f"/studies/{UNKNOWN}/archive", ANONYMIZERS),
    ("anon", "POST", "/instances", ADMINISTRATOR),
    ("anon", "DELETE", f"/patients/{UNKNOWN}", ADMINISTRATOR),
    ("disk", "GET", "/disk/status", EVERYBODY),
    ("disk", "POST", f"/disk/studies/{UNKNOWN}/write", BROKERS),
    ("disk", "DELETE", f"/series/{UNKNOWN}", ADMINISTRATOR),
]
BODIES = {"/tools/find": b'{"Level": "Study", "Query": {}}', "/tools/log-level": b"default"}


def trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CONFIG / "ca/ca.crt")


def person(name: str | None, **headers: str) -> httpx.Client:
    """Return a client that a person uses from a page of the site."""
    password = CONFIG / "apache/secrets/users" / str(name)
    return httpx.Client(
        base_url=SITE,
        auth=(name, password.read_text().strip()) if name else None,
        headers={"Origin": SITE, **headers},
        verify=trust(),
        timeout=60,
    )


def page_token(client: httpx.Client, kind: str = "phi") -> str:
    return str(client.get(f"/e2e-{kind}/page-token").raise_for_status().json()["token"])


def said(container: str, since: float) -> list[str]:
    """Return what an Orthanc's log says of access since a time."""
    log = deployed.docker("logs", "--since", f"{since:.3f}", container)
    return [line for line in log.splitlines() if "access: " in line]


@pytest.mark.parametrize(("kind", "method", "path", "may"), ROUTES)
def test_an_account_reaches_what_it_may_and_nothing_else(
    kind: str, method: str, path: str, may: set[str]
) -> None:
    for name, account in USERS.items():
        with person(name) as client:
            headers = {"X-Page-Token": page_token(client, kind)}
            answer = client.request(
                method, f"/e2e-{kind}{path}", content=BODIES.get(path), headers=headers
            )
        assert (answer.status_code != httpx.codes.FORBIDDEN) is (account in may), account
        assert answer.status_code not in {401, 500, 502, 503}, answer.text


@pytest.mark.parametrize("path", ["/", "/e2e-phi/", "/e2e-phi/system", "/e2e-anon/app/x"])
def test_nobody_gets_anything_without_signing_on(path: str) -> None:
    with person(None) as stranger:
        answer = stranger.get(path)
        for _ in range(2):
            if answer.has_redirect_location:
                answer = stranger.get(answer.headers["Location"])
        assert answer.status_code == httpx.codes.UNAUTHORIZED
        with_orthancs_own = stranger.get(
            path,
            auth=("administrator", deployed.secret("phi", "administrator")),
            follow_redirects=True,
        )
        assert with_orthancs_own.status_code == httpx.codes.UNAUTHORIZED


def test_what_is_not_behind_the_site_is_closed_to_everybody() -> None:
    with person("adam") as adam:
        for path in ("/x", "/server-status", "/e2e-phix/system", "/icons/"):
            assert adam.get(path).status_code == httpx.codes.FORBIDDEN, path


@pytest.mark.parametrize(
    "spoofed",
    [
        {"X-Remote-User": "adam"},
        {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"},
        {"X-Forwarded-User": "adam", "X-Real-IP": "203.0.113.9", "Remote-User": "adam"},
        {"Connection": "X-Remote-User, Authorization, X-Forwarded-For, close"},
        {"X-HTTP-Method-Override": "GET"},
    ],
)
def test_a_header_makes_nobody_someone_else(spoofed: dict[str, str]) -> None:
    since = time.time()
    with person("vera", **spoofed) as vera:
        assert vera.delete(f"/e2e-phi/studies/{UNKNOWN}").status_code == httpx.codes.FORBIDDEN
        assert vera.get("/e2e-phi/system").status_code == httpx.codes.OK
    (line,) = said("e2e-phi", since)
    assert "denied" in line
    assert "account=viewer user=vera address=127.0.0.1 method=DELETE" in line
    assert "203.0.113.9" not in line


def test_a_header_helps_nobody_at_an_orthancs_own_port() -> None:
    with deployed.client("phi", "viewer") as viewer:
        for headers in ({"X-Remote-User": "adam"}, {"X-HTTP-Method-Override": "DELETE"}):
            answer = viewer.delete(f"/studies/{UNKNOWN}", headers=headers)
            assert answer.status_code == httpx.codes.FORBIDDEN
        disguised = viewer.get(f"/studies/{UNKNOWN}", params={"_method": "DELETE"})
        assert disguised.status_code == httpx.codes.FORBIDDEN
    with deployed.client("phi", "viewer", password="wrong") as stranger:
        answer = stranger.get("/system", headers={"X-Remote-User": "adam"})
        assert answer.status_code == httpx.codes.UNAUTHORIZED


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"Origin": SITE}, True),
        ({"Origin": SITE, "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": f"{SITE}.evil.example"}, False),
        ({"Origin": "https://localhost"}, False),
        ({"Origin": SITE, "Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
    ],
)
def test_a_change_needs_proof_that_it_comes_from_the_site(
    headers: dict[str, str], passes: bool
) -> None:
    with person("adam") as adam:
        del adam.headers["Origin"]
        answer = adam.delete(f"/e2e-anon/studies/{UNKNOWN}", headers=headers)

    assert answer.status_code == (httpx.codes.NOT_FOUND if passes else httpx.codes.FORBIDDEN)


@pytest.mark.parametrize("query", ["_method=DELETE", "a=b&_method=PUT", "%5Fmethod=DELETE"])
def test_a_link_cannot_change_anything(query: str) -> None:
    with person("adam") as adam:
        answer = adam.get(f"/e2e-anon/studies/{UNKNOWN}?{query}")

    assert answer.status_code == httpx.codes.FORBIDDEN


def test_a_page_needs_its_own_users_token() -> None:
    path = f"/e2e-phi/deid/v1/studies/{UNKNOWN}/anonymize"
    with person("rosa") as rosa, person("vera") as vera:
        own, others = page_token(rosa), page_token(vera)
        codes = [
            rosa.post(path, headers={"X-Page-Token": token}).status_code
            for token in ("", others, own)
        ]

    assert codes == [403, 403, 404]


def test_a_browser_at_an_orthancs_own_port_changes_nothing_for_another_site() -> None:
    with deployed.client("anon") as administrator:
        answer = administrator.delete(
            f"/studies/{UNKNOWN}", headers={"Sec-Fetch-Site": "cross-site"}
        )

    assert answer.status_code == httpx.codes.FORBIDDEN


def test_every_change_is_logged_with_user_route_and_address() -> None:
    since = time.time()
    with person("adam") as adam:
        adam.put("/e2e-disk/tools/log-level", content=b"default").raise_for_status()
    (line,) = said("e2e-disk", since)

    assert "changes allowed: account=administrator user=adam address=127.0.0.1" in line
    assert "method=PUT route=/tools/log-level" in line


def test_no_path_and_no_query_of_a_person_gets_into_a_log() -> None:
    since = time.time()
    with person("vera") as vera:
        vera.get("/e2e-phi/patients/SMITHXJOHN", params={"PatientName": "SMITHXJOHN"})
        vera.get("/e2e-phi/dicom-web/studies", params={"PatientName": "SMITHXJOHN"})
        vera.get("/e2e-phi/SMITHXJOHN/", headers={"Referer": f"{SITE}/SMITHXJOHN"})
    logs = [path.read_text() for path in Path("/var/log/apache2").glob("e2e-orthanc_*.log")]
    logs += said("e2e-phi", since)

    assert len(logs) > 2
    assert not [text for text in logs if "SMITHXJOHN" in text]


def test_an_orthanc_that_is_away_is_told_by_a_plain_page() -> None:
    deployed.docker("stop", "e2e-anon")
    try:
        with person("vera") as vera:
            answer = vera.get("/e2e-anon/app/explorer.html")
    finally:
        deployed.docker("start", "e2e-anon")

    assert answer.status_code == httpx.codes.BAD_GATEWAY
    assert "The imaging server is not available" in answer.text
    assert "e2e-anon" not in answer.text.replace(SITE, "")
    with person("vera") as vera:
        deployed.wait_for("Anon is back", lambda: vera.get("/e2e-anon/system").is_success)


def test_dicomweb_tells_the_addresses_by_which_it_was_asked(tmp_path: Path) -> None:
    (instance,), _ = planted_study("CT_small.dcm", 1)
    instance.save_as(tmp_path / "ct.dcm", enforce_file_format=True)
    with person("adam", Forwarded="host=evil.example;proto=http") as adam:
        posted = adam.post("/e2e-phi/instances", content=(tmp_path / "ct.dcm").read_bytes())
        query = {"StudyInstanceUID": instance.StudyInstanceUID}
        (study,) = adam.get("/e2e-phi/dicom-web/studies", params=query).json()
    with deployed.client("phi", "viewer") as viewer:
        (direct,) = viewer.get("/dicom-web/studies", params=query).json()

    assert posted.is_success
    (url,) = study["00081190"]["Value"]
    assert url == f"{SITE}/e2e-phi/dicom-web/studies/{instance.StudyInstanceUID}"
    (url,) = direct["00081190"]["Value"]
    assert url.startswith(f"https://localhost:{deployed.PORTS['phi']}/dicom-web/studies/")


def test_the_site_speaks_modern_tls_and_tells_browsers_to_be_careful() -> None:
    with person("vera") as vera:
        answer = vera.get("/e2e-phi/app/explorer.html")
        page = vera.get("/e2e-phi/extra/scrub/study_anonymize.html")
    old = subprocess.run(
        ["openssl", "s_client", "-connect", f"localhost:{FRONT}", "-tls1_1",
         "-cipher", "ALL:@SECLEVEL=0"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "max-age=63072000" in answer.headers["Strict-Transport-Security"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]
    assert "alert protocol version" in old.stderr


def test_an_orthanc_with_another_authoritys_certificate_is_refused(tmp_path: Path) -> None:
    authority = CONFIG / "apache/tls/ca.crt"
    good = authority.read_bytes()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=Other CA",
         "-keyout", tmp_path / "key", "-out", authority],
        check=True, capture_output=True,
    )  # fmt: skip
    try:
        subprocess.run(["apache2ctl", "-k", "graceful"], check=True)
        with person("vera") as vera:
            answer = deployed.wait_for(
                "the false Orthanc is refused",
                lambda: (answer := vera.get("/e2e-anon/system")).is_error and answer,
            )
            assert answer.status_code == httpx.codes.BAD_GATEWAY
            assert "The imaging server is not available" in answer.text
    finally:
        authority.write_bytes(good)
        subprocess.run(["apache2ctl", "-k", "graceful"], check=True)
    with person("vera") as vera:
        deployed.wait_for(
            "the true Orthanc is back",
            lambda: vera.get("/e2e-anon/system").status_code == httpx.codes.OK,
        )


def peak_memory() -> int:
    """Return the greatest resident size of any process of Apache so far, in bytes."""
    peaks = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if text.startswith("Name:\tapache2\n"):
            (line,) = [line for line in text.splitlines() if line.startswith("VmHWM:")]
            peaks.append(int(line.split()[1]) * 1024)
    return max(peaks)


def stow(instance: bytes, times: int) -> Iterator[bytes]:
    for _ in range(times):
        yield b"--part\r\nContent-Type: application/dicom\r\n\r\n" + instance + b"\r\n"
    yield b"--part--\r\n"


def big_instance() -> Dataset:
    (instance,), _ = planted_study("CT_small.dcm", 1)
    instance.Rows, instance.Columns = 1024, 4096
    instance.PixelData = os.urandom(2 * 1024 * 4096)
    return instance


def test_a_gigabyte_is_uploaded_without_filling_apaches_memory(tmp_path: Path) -> None:
    big_instance().save_as(tmp_path / "big.dcm", enforce_file_format=True)
    instance = (tmp_path / "big.dcm").read_bytes()
    times = 2**30 // len(instance) + 1
    size = sum(len(part) for part in stow(instance, times))
    before = peak_memory()
    with person("hana") as hana:
        answer = hana.post(
            "/e2e-phi/dicom-web/studies",
            content=stow(instance, times),
            headers={
                "Content-Type": 'multipart/related; type="application/dicom"; boundary=part',
                "Content-Length": str(size),
                "Accept": "application/dicom+json",
            },
            timeout=600,
        )

    assert size > 2**30
    assert answer.status_code == httpx.codes.OK, answer.text[:500]
    assert peak_memory() - before < 64 * 2**20


def test_a_body_that_is_no_upload_is_limited() -> None:
    with person("hana") as hana:
        answer = hana.post("/e2e-phi/tools/find", content=b" " * (11 * 2**20))

    assert answer.status_code in {httpx.codes.BAD_REQUEST, httpx.codes.REQUEST_ENTITY_TOO_LARGE}
    assert "Apache" in answer.headers["Server"]


@pytest.mark.parametrize(
    ("certificate", "key", "told"),
    [
        ("/nowhere.pem", "/none", "/nowhere.pem, which holds no certificate"),
        (CONFIG / "apache/tls/apache.crt", CONFIG / "ca/ca.key", "is not the key of"),
    ],
)
def test_what_cannot_work_is_told_before_anything_changes(
    certificate: object, key: object, told: str
) -> None:
    settings = {
        "apache_proxy_groups": [{"name": "viewers", "account": "boss"}],
        "apache_proxy_orthancs": [
            {"kind": "phi", "host": "localhost", "path": "a"},
            {"kind": "anon", "host": "localhost", "path": "a/b"},
        ],
        "apache_proxy_certificate": str(certificate),
        "apache_proxy_certificate_key": str(key),
    }
    done = deployed.playbook("site", "--tags", "apache", "-e", json.dumps(settings), check=False)

    assert done.returncode
    for problem in ("account 'boss'", "'adam' into 'administrators'", "one inside the other", told):
        assert problem in done.stdout
    assert deployed.changed(done) == 0


def test_a_broken_file_of_the_sites_own_leaves_the_running_apache_alone(tmp_path: Path) -> None:
    broken = tmp_path / "sign_on.conf"
    broken.write_text("<Location /e2e-phi>\n    NoSuchDirective on\n</Location>\n")
    current = {path: path.read_bytes() for path in (CONFIG / "apache/current").iterdir()}
    done = deployed.playbook(
        "site", "--tags", "apache", "-e",
        f'{{"apache_proxy_sign_on": "file", "apache_proxy_sign_on_file": "{broken}",'
        ' "apache_proxy_groups_variable": "isMemberOf"}', check=False,
    )  # fmt: skip

    assert done.returncode
    assert "NoSuchDirective" in done.stdout
    assert {path: path.read_bytes() for path in (CONFIG / "apache/current").iterdir()} == current
    subprocess.run(["apache2ctl", "-k", "graceful"], check=True)
    with person("vera") as vera:
        assert vera.get("/e2e-phi/system").status_code == httpx.codes.OK


def test_no_secret_is_where_others_can_read_it() -> None:
    secrets = [path.read_text().strip() for path in CONFIG.glob("*/secrets/**/*") if path.is_file()]
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    readable = subprocess.run(
        [*nobody, "grep", "-rhs", "", CONFIG / "apache", "/etc/apache2"],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip

    assert len(secrets) > 20
    assert "e2e-orthanc" in readable or "orthanc-e2e" in readable
    assert not [secret for secret in secrets if secret in readable]
