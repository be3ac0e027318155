# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of an Orthanc's answers, and where studies go by the settings."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from orthanc_deid import destinations, orthanc_client
from orthanc_deid.destination_config import Server
from orthanc_deid.orthanc_client import (
    GoneError,
    OrthancClient,
    OrthancError,
    RefusedError,
    TransientError,
)

from .test_config import load, settings

SECRET_ID = "s-identifies-somebody"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orthanc_client, "PAUSES", (0.0, 0.0))


def client(answer: Callable[[httpx.Request], httpx.Response]) -> OrthancClient:
    server = Server("https://anon:8042", "service", Path("/none"), "secret")
    return OrthancClient("anon", server, httpx.MockTransport(answer))


def fail(error: type[httpx.TransportError], text: str = "") -> Callable[..., httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error(text, request=request)

    return answer


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (400, RefusedError, "refuses"),
        (401, TransientError, "check the account"),
        (404, GoneError, "does not have"),
        (500, TransientError, "500"),
        (503, TransientError, "its database does not answer"),
        (507, TransientError, "its disk is full"),
    ],
)
def test_a_status_tells_whether_trying_again_helps(
    code: int, kind: type[OrthancError], hint: str
) -> None:
    with pytest.raises(kind, match=hint) as caught:
        client(lambda _: httpx.Response(code)).study(SECRET_ID)
    assert SECRET_ID not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (fail(httpx.ConnectError, "CERTIFICATE_VERIFY_FAILED"), "certificate is not accepted"),
        (fail(httpx.ReadTimeout), "does not answer in time"),
        (fail(httpx.RemoteProtocolError), "cannot be reached"),
        (lambda _: httpx.Response(200, content=b"<html>"), "did not answer with JSON"),
    ],
)
def test_an_orthanc_that_cannot_be_spoken_to_may_be_back_later(
    answer: Callable[..., httpx.Response], hint: str
) -> None:
    with pytest.raises(TransientError, match=hint) as caught:
        client(answer).study(SECRET_ID)
    assert SECRET_ID not in str(caught.value)


def test_a_connection_that_fails_once_does_not_fail_the_request() -> None:
    codes = iter([503, 200])
    assert client(lambda _: httpx.Response(next(codes), content=b"x")).download("i") == b"x"


@pytest.mark.parametrize("status", ["Success", "AlreadyStored"])
def test_an_instance_is_stored_if_orthanc_says_so(status: str) -> None:
    client(lambda _: httpx.Response(200, json={"Status": status})).upload(b"DICM")


@pytest.mark.parametrize("body", [{"Status": "FilteredOut"}, {}, []])
def test_any_other_answer_means_that_it_was_not_stored(body: object) -> None:
    with pytest.raises(TransientError, match="did not store"):
        client(lambda _: httpx.Response(200, json=body)).upload(b"DICM")


def test_the_certificate_of_every_orthanc_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    create = ssl.create_default_context

    def remember(cafile: str | None = None) -> ssl.SSLContext:
        asked.append(cafile)
        return create()

    monkeypatch.setattr(ssl, "create_default_context", remember)
    OrthancClient("anon", Server("https://anon", "u", Path("/ca.crt"), "p")).close()
    assert asked == ["/ca.crt"]


def test_studies_go_to_the_destinations_or_back_into_phi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, str]] = []

    def remember(name: str, server: Server) -> OrthancClient:
        opened.append((name, server.url))
        return OrthancClient(name, server, httpx.MockTransport(lambda _: httpx.Response(200)))

    monkeypatch.setattr(destinations, "OrthancClient", remember)
    config = load(tmp_path, settings())
    destinations.open_destinations(config)
    destinations.open_destinations(dataclasses.replace(config, forward=False))
    assert opened == [("anon", "https://orthanc-phi:8042"), ("review", "https://orthanc-phi:8042")]
