# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what, as the filter of each kind of Orthanc decides it."""

from __future__ import annotations

import base64
import json
import tomllib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import access
from access import Effect, Request, Table, TableError
from page_token import PageTokens

ID = "0123abcd-0123abcd-0123abcd-0123abcd-0123abcd"
CONTENT = tomllib.loads(access.TABLE.read_text())
PEOPLE = ("viewer", "researcher", "honest_broker")
DANGEROUS = [
    ("POST", "/tools/execute-script"),
    ("POST", "/tools/reset"),
    ("POST", "/tools/shutdown"),
    ("PUT", "/tools/log-level"),
    ("POST", "/tools/bulk-delete"),
    ("PUT", "/modalities/pacs"),
    ("DELETE", "/modalities/pacs"),
    ("POST", "/modalities/pacs/store"),
    ("PUT", "/peers/other"),
    ("POST", "/peers/other/store"),
    ("POST", f"/instances/{ID}/export"),
    ("DELETE", f"/studies/{ID}"),
    ("DELETE", f"/patients/{ID}"),
    ("POST", f"/studies/{ID}/anonymize"),
    ("POST", f"/studies/{ID}/modify"),
    ("PUT", f"/studies/{ID}/metadata/5120"),
    ("DELETE", "/changes"),
]


def request(method: str = "GET", path: str = "/system", **headers: str) -> Request:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, path, "192.0.2.7", names)


def allowed(kind: str, account: str, method: str, path: str, **headers: str) -> bool:
    table = Table(CONTENT, kind)
    return access.decide(table, account, request(method, path, **headers), PageTokens()).allowed


@pytest.mark.parametrize("kind", ["phi", "anon", "disk"])
@pytest.mark.parametrize(("method", "path"), DANGEROUS)
def test_only_the_administrator_reaches_a_dangerous_route(
    kind: str, method: str, path: str
) -> None:
    assert allowed(kind, "administrator", method, path)
    for account in (*PEOPLE, "service", "metrics"):
        if (kind, account, method, path) != ("anon", "service", "DELETE", f"/studies/{ID}"):
            assert not allowed(kind, account, method, path), account


@pytest.mark.parametrize("account", [*PEOPLE, "administrator"])
def test_everybody_may_look(account: str) -> None:
    for path in (
        "/app/explorer.html",
        f"/studies/{ID}",
        f"/instances/{ID}/file",
        "/dicom-web/studies",
    ):
        assert allowed("anon", account, "GET", path), path
    assert allowed("anon", account, "POST", "/tools/find")


def test_identified_studies_are_carried_away_by_broker_and_administrator_only() -> None:
    may = {
        who
        for who in CONTENT["accounts"]["phi"]
        if allowed("phi", who, "GET", f"/studies/{ID}/archive")
    }

    assert may == {"honest_broker", "administrator"}


def test_the_lookup_table_is_for_broker_and_administrator_only() -> None:
    for method, path in (
        ("GET", "/extra/lookup/master/lookuptable.html"),
        ("POST", "/deid/v1/lookup"),
        ("POST", "/deid/v1/lookup/export"),
        ("GET", f"/deid/v1/downloads/{'0a' * 16}"),
        ("GET", "/deid/v1/review"),
    ):
        may = {who for who in CONTENT["accounts"]["phi"] if allowed("phi", who, method, path)}
        assert may == {"honest_broker", "administrator"}, path


def test_the_workers_account_takes_studies_back_and_never_deletes_an_original() -> None:
    table = Table(CONTENT, "anon")
    assert table.effect("service", "DELETE", f"/studies/{ID}") is access.Effect.CHANGES
    assert allowed("disk", "service", "POST", f"/disk/studies/{ID}/remove")
    assert allowed("phi", "service", "DELETE", f"/deid/v1/copies/{ID}")
    assert not allowed("phi", "service", "DELETE", f"/studies/{ID}")


def test_the_workers_account_may_deliver_and_nothing_else_on_anon() -> None:
    assert allowed("anon", "service", "POST", "/instances")
    assert allowed("anon", "service", "GET", f"/studies/{ID}/instances")
    for path in (
        "/studies",
        f"/instances/{ID}/file",
        f"/studies/{ID}/archive",
        "/app/explorer.html",
    ):
        assert not allowed("anon", "service", "GET", path), path


def test_an_account_that_the_table_does_not_know_may_nothing() -> None:
    assert not allowed("phi", "visitor", "GET", "/system")
    nobody = access.decide(Table(CONTENT, "phi"), None, request(), PageTokens())
    assert not nobody.allowed


@pytest.mark.parametrize(
    "path",
    [
        f"/studies/{ID}/../../tools/reset",
        f"/studies/{ID}%2Farchive",
        "/tools/find/../reset",
        "//tools/reset",
        f"/studies/{ID}\n/archive",
        "",
    ],
)
def test_a_path_in_disguise_is_denied(path: str) -> None:
    for method in access.METHODS:
        assert not allowed("phi", "viewer", method, path)


@given(st.text(max_size=40), st.sampled_from(access.METHODS))
def test_nothing_but_what_the_table_has_is_allowed(path: str, method: str) -> None:
    first = path.strip("/").split("/")[0]
    known = {"", "app", "page-token", "system", "statistics", "plugins", "patients", "studies"}
    known |= {"series", "instances", "dicom-web", "tools"}

    assert first in known or not allowed("anon", "viewer", method, "/" + path)


def test_a_method_in_disguise_is_denied_to_everybody() -> None:
    assert not allowed(
        "phi", "administrator", "DELETE", f"/studies/{ID}", x_http_method_override="DELETE"
    )


@pytest.mark.parametrize(
    ("site", "passes"),
    [("same-origin", True), ("none", True), ("same-site", False), ("cross-site", False)],
)
def test_a_browser_changes_nothing_for_another_site(site: str, passes: bool) -> None:
    path = f"/studies/{ID}"

    assert allowed("phi", "administrator", "DELETE", path, sec_fetch_site=site) is passes
    assert allowed("phi", "administrator", "GET", path, sec_fetch_site=site)


def test_a_page_needs_its_own_users_token_for_a_change() -> None:
    now = [10_000.0]
    tokens = PageTokens(lambda: now[0])
    table = Table(CONTENT, "phi")

    def passes(token: str) -> bool:
        asked = request(
            "POST", f"/deid/v1/studies/{ID}/anonymize", x_remote_user="rosa", x_page_token=token
        )
        return access.decide(table, "researcher", asked, tokens).allowed

    own = tokens.issue("rosa")
    assert passes(own)
    assert not passes("")
    assert not passes(tokens.issue("vera"))
    now[0] += 3600
    assert passes(own)
    now[0] += 3600
    assert not passes(own)


def test_denials_changes_and_exports_are_logged_with_who_what_and_whence() -> None:
    table = Table(CONTENT, "phi")
    one = request(
        "DELETE", f"/studies/{ID}", x_remote_user="vera", x_forwarded_for="spoofed, 192.0.2.9"
    )
    denied = access.decide(table, "viewer", one, PageTokens())

    assert denied.noted
    assert access.log_line(table, "viewer", one, denied) == (
        "access: denied, not allowed: account=viewer user=vera address=192.0.2.9 "
        f"method=DELETE route=/studies/{ID}"
    )
    for method, path, noted in (
        ("DELETE", f"/studies/{ID}", True),
        ("GET", f"/studies/{ID}/archive", True),
        ("GET", f"/studies/{ID}", False),
        ("POST", "/tools/find", False),
    ):
        decision = access.decide(table, "administrator", request(method, path), PageTokens())
        assert decision.noted is noted, path


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"/patients/{ID}/archive", "/patients/*/archive"),
        ("/patients/SMITH^JOHN", "/patients/*"),
        ("/dicom-web/studies/1.2.840.1/series/1.2.3", "/dicom-web/studies/*/series/*"),
        ("/modalities/smith/store", "/modalities/*/*"),
        ("/tools/execute-script", "/tools/execute-script"),
        ("/", "/"),
    ],
)
def test_the_log_shows_no_identity(path: str, shown: str) -> None:
    assert Table(CONTENT, "phi").shown(path) == shown


def test_a_header_cannot_forge_a_line_of_the_log() -> None:
    table = Table(CONTENT, "phi")
    one = request("GET", "/changes", x_remote_user="vera\naccess: changes allowed")
    line = access.log_line(table, "viewer", one, access.decide(table, "viewer", one, PageTokens()))

    assert "\n" not in line
    assert "user=vera?access:?changes?allowed " in line


def test_an_account_needs_its_whole_password() -> None:
    find = access.account_of({"viewer": "Aaa111bbb222"})

    def header(text: str) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    assert find(header("viewer:Aaa111bbb222")) == "viewer"
    for text in ("viewer:", "viewer:Aaa111bbb22", "other:Aaa111bbb222", ""):
        assert find(header(text)) is None
    assert find({}) is None


@pytest.mark.parametrize(
    ("rights", "told"),
    [
        ({"look": {"reads": ["FETCH /"]}}, "no method and path"),
        ({"look": {"reads": ["GET system"]}}, "no method and path"),
        ({"look": {"peeks": ["GET /"]}}, "no effect"),
        ({"look": {"reads": ["GET /studies/[a]"]}}, "no placeholder"),
        ({"see": {"reads": ["GET /"]}}, "unknown rights: look"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(rights: Any, told: str) -> None:
    with pytest.raises(TableError, match=told):
        Table({"accounts": {"phi": {"viewer": ["look"]}}, "rights": rights}, "phi")


def test_every_kind_gives_every_account_something() -> None:
    assert set(CONTENT["accounts"]) == {"phi", "anon", "disk"}
    for accounts in CONTENT["accounts"].values():
        assert set(accounts) == {*PEOPLE, "administrator", "service", "metrics"}


class FakeOrthanc:
    """As much of Orthanc's module as the filter uses."""

    HttpMethod = SimpleNamespace(GET=1, POST=2, PUT=3, DELETE=4)

    def __init__(self) -> None:
        self.log: list[str] = []
        self.filter: Callable[..., bool] = lambda *_, **__: True
        self.routes: dict[str, Callable[..., None]] = {}

    def GetConfiguration(self) -> str:  # noqa: N802
        return json.dumps(
            {"RegisteredUsers": {"viewer": "Aaa111bbb222"}, "Deployment": {"Version": "3.2.1"}}
        )

    def LogWarning(self, text: str) -> None:  # noqa: N802
        self.log.append(text)

    def RegisterIncomingHttpRequestFilter(self, own: Callable[..., bool]) -> None:  # noqa: N802
        self.filter = own

    def RegisterRestCallback(self, path: str, own: Callable[..., None]) -> None:  # noqa: N802
        self.routes[path] = own


def test_the_filter_asks_the_table_with_what_orthanc_tells() -> None:
    orthanc = FakeOrthanc()
    access.register(orthanc, "anon")
    account = base64.b64encode(b"viewer:Aaa111bbb222").decode()
    told = {"ip": "192.0.2.7", "headers": {"Authorization": f"Basic {account}"}}

    assert orthanc.filter("/system", method=1, **told)
    assert not orthanc.log
    assert not orthanc.filter("/tools/reset", method=2, **told)
    assert "account=viewer" in orthanc.log[0]
    assert not orthanc.filter("/system", method=1, ip="", headers={})


def test_the_script_tells_what_it_is_and_who_may_what() -> None:
    orthanc = FakeOrthanc()
    access.register(orthanc, "anon")
    told: list[str] = []
    output = SimpleNamespace(AnswerBuffer=lambda body, _kind: told.append(body))

    orthanc.routes["/deployment"](output, "/deployment", method="GET")

    answer = json.loads(told[0])
    assert (answer["kind"], answer["version"]) == ("anon", "3.2.1")
    assert answer["accounts"]["metrics"] == ["measure"]
    for account in ("service", "administrator"):
        assert allowed("anon", account, "GET", "/deployment")
    assert not allowed("anon", "researcher", "GET", "/deployment")


def test_the_account_for_metrics_may_read_metrics_and_nothing_else() -> None:
    assert allowed("phi", "metrics", "GET", "/tools/metrics-prometheus")
    assert allowed("phi", "metrics", "GET", "/deid/v1/metrics")
    for path in ("/system", "/studies", "/deid/v1/status", "/jobs", "/statistics"):
        assert not allowed("phi", "metrics", "GET", path), path


def test_effects_are_told_apart() -> None:
    table = Table(CONTENT, "disk")

    assert table.effect("service", "POST", f"/disk/studies/{ID}/write") is Effect.DELIVERIES
    assert table.effect("administrator", "POST", f"/disk/studies/{ID}/write") is Effect.CHANGES
    assert table.effect("administrator", "GET", f"/studies/{ID}/archive") is Effect.EXPORTS
    assert table.effect("viewer", "GET", f"/studies/{ID}/archive") is None
