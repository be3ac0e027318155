# SPDX-License-Identifier: GPL-3.0-or-later
"""What each account may do, asked by a browser that signed on."""

from __future__ import annotations

import time
from typing import Any

import pytest
from deployed_host import PROVIDER, SITE, Host, sign_on
from playwright.sync_api import BrowserContext, Page

UNKNOWN = "0123abcd-0123abcd-0123abcd-0123abcd-0123abcd"
PEOPLE = {
    "vera": "viewer",
    "rosa": "researcher",
    "hana": "honest_broker",
    "adam": "administrator",
}
EVERYBODY = set(PEOPLE)
# One route of each class, and who may use it.
CLASSES = [
    ("phi", "GET", "/studies", EVERYBODY),
    ("phi", "GET", "/dicom-web/studies", EVERYBODY),
    ("phi", "GET", f"/deid/v1/studies/{UNKNOWN}", {"rosa", "hana", "adam"}),
    ("phi", "GET", f"/studies/{UNKNOWN}/archive", {"hana", "adam"}),
    ("phi", "GET", "/extra/lookup/master/lookuptable.html", {"hana", "adam"}),
    ("phi", "POST", "/instances", {"hana", "adam"}),
    ("phi", "DELETE", f"/studies/{UNKNOWN}", {"adam"}),
    ("phi", "GET", "/modalities", {"adam"}),
    ("phi", "GET", "/jobs", {"adam"}),
    ("anon", "GET", "/studies", EVERYBODY),
    ("anon", "GET", f"/studies/{UNKNOWN}/archive", {"rosa", "hana", "adam"}),
    ("anon", "POST", "/instances", {"adam"}),
    ("anon", "DELETE", f"/studies/{UNKNOWN}", {"adam"}),
]
FETCH = """async ([method, path, headers]) => {
    const body = method === 'POST' ? '' : undefined;
    const answer = await fetch(path, {method, body, headers, redirect: 'manual'});
    return {status: answer.status, type: answer.type};
}"""


def fetch(page: Page, method: str, path: str, **headers: str) -> int:
    """Have a script of the page ask; return the status, 0 for a redirection elsewhere."""
    told: dict[str, Any] = page.evaluate(FETCH, [method, path, headers])
    return int(told["status"])


@pytest.mark.parametrize("name", PEOPLE)
def test_a_person_reaches_what_the_account_may_and_nothing_else(
    host: Host, someone: BrowserContext, name: str
) -> None:
    since = time.time()
    page = sign_on(someone, name)
    assert "DicomAet" in page.content()
    for kind, method, path, may in CLASSES:
        status = fetch(page, method, f"/orthanc-{kind}{path}")
        assert (status != 403) is (name in may), (method, path, status)
        assert status not in {0, 401, 500, 502}, (method, path, status)
    log = host.said("orthanc-phi", since)

    assert any(f"account={PEOPLE[name]}" in line for line in log)


def test_who_is_in_no_group_of_the_site_gets_nothing(someone: BrowserContext) -> None:
    page = sign_on(someone, "otto")
    status = fetch(page, "GET", "/orthanc-anon/studies")

    assert "DicomAet" not in page.content()
    assert status in {401, 403}


def test_orthancs_explorer_works_in_the_browser(someone: BrowserContext) -> None:
    page = sign_on(someone, "vera", "/orthanc-anon/app/explorer.html")
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(f"{SITE}/orthanc-anon/app/explorer.html#find-studies")
    page.wait_for_selector("#find-studies h1")

    assert not [text for text in refused if "Content Security Policy" in text]


def test_without_a_session_a_browser_is_sent_to_the_provider(someone: BrowserContext) -> None:
    someone.add_cookies(
        [{"name": "orthanc_session", "value": "forged", "url": SITE, "secure": True}]
    )
    page = someone.new_page()
    page.goto(f"{SITE}/orthanc-phi/system")

    assert page.url.startswith(PROVIDER)


def test_no_header_makes_someone_else_of_a_person(host: Host, someone: BrowserContext) -> None:
    page = sign_on(someone, "vera", "/orthanc-phi/system")
    since = time.time()
    for name in ("X-Remote-User", "Authorization", "OIDC_CLAIM_groups", "X-Forwarded-User"):
        assert fetch(page, "DELETE", f"/orthanc-phi/studies/{UNKNOWN}", **{name: "adam"}) == 403
    log = host.said("orthanc-phi", since)

    assert len(log) == 4
    assert all("account=viewer user=vera" in line for line in log)


def test_another_sites_page_changes_nothing_in_a_signed_on_browser(
    host: Host, someone: BrowserContext
) -> None:
    sign_on(someone, "adam")
    since = time.time()
    evil = someone.new_page()
    # The provider's address is another site for the browser.
    evil.goto(f"{PROVIDER}/.well-known/openid-configuration")
    for credentials in ("include", "omit"):
        evil.evaluate(
            """([url, credentials]) => fetch(url, {method: 'POST', mode: 'no-cors', credentials,
                body: '{}'}).catch(() => 'refused')""",
            [f"{SITE}/orthanc-anon/tools/reset", credentials],
        )
    evil.evaluate(
        """url => { const form = document.createElement('form');
            form.method = 'POST'; form.action = url;
            document.body.append(form); form.submit(); }""",
        f"{SITE}/orthanc-anon/tools/reset",
    )
    evil.wait_for_load_state()
    frame = someone.new_page()
    frame.goto(f"{PROVIDER}/.well-known/openid-configuration")
    frame.evaluate(
        "url => { location = url; }", f"{SITE}/orthanc-anon/studies/{UNKNOWN}?_method=DELETE"
    )
    frame.wait_for_url(f"{SITE}/**")

    assert "Forbidden" in frame.content()
    assert not [line for line in host.said("orthanc-anon", since) if "allowed" in line]


def test_a_page_needs_its_own_users_token(someone: BrowserContext) -> None:
    page = sign_on(someone, "rosa", "/orthanc-phi/page-token")
    token = page.evaluate("() => JSON.parse(document.body.innerText).token")
    path = f"/orthanc-phi/deid/v1/studies/{UNKNOWN}/anonymize"

    assert fetch(page, "POST", path) == 403
    assert fetch(page, "POST", path, **{"X-Page-Token": token[:-1] + "x"}) == 403
    assert fetch(page, "POST", path, **{"X-Page-Token": token}) != 403


def test_a_session_ends_without_requests(someone: BrowserContext) -> None:
    page = sign_on(someone, "vera")
    assert fetch(page, "GET", "/orthanc-anon/studies") == 200
    # apache_proxy_session_minutes is 1; to ask meanwhile would keep the session.
    page.wait_for_timeout(65_000)

    assert fetch(page, "GET", "/orthanc-anon/studies") in {0, 401}
