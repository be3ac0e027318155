# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pynetdicom import AE

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(
    run_module: Callable[..., dict[str, Any]], connection: dict[str, Any], orthanc: Any
) -> Callable[..., dict[str, Any]]:
    orthanc.answers["/modalities?expand"] = {
        "pacs": {"AET": "PACS", "Host": "192.0.2.1", "Port": 104},
        "ct1": {"AET": "CT1", "Host": "192.0.2.2", "Port": 11112},
    }
    orthanc.answers["POST /modalities/pacs/echo"] = {}
    orthanc.answers["POST /modalities/ct1/echo"] = 500

    def run(**changed: Any) -> dict[str, Any]:
        return run_module("orthanc_echo", {**connection, "echo_timeout": 1, **changed})

    return run


@pytest.fixture
def dicom_port() -> Iterator[int]:
    """The port of a DICOM server called ANON that knows one caller."""
    server = AE(ae_title="ANON")
    server.add_supported_context("1.2.840.10008.1.1")
    server.require_calling_aet = ["KNOWN"]
    running = server.start_server(("127.0.0.1", 0), block=False)
    yield running.socket.getsockname()[1]
    running.shutdown()


def test_every_node_is_asked_and_a_silent_one_is_named_with_what_to_do(ask: Ask) -> None:
    answer = ask()

    assert answer["failed"]
    ct1, pacs = answer["echoes"]
    assert (pacs["node"], pacs["answered"], pacs["cause"]) == ("pacs", True, "")
    assert (ct1["node"], ct1["answered"]) == ("ct1", False)
    assert "ct1 (CT1, 192.0.2.2:11112)" in answer["msg"]
    assert "does it know this Orthanc's AE title" in answer["msg"]


def test_nodes_that_only_send_are_left_out(ask: Ask) -> None:
    answer = ask(silent_nodes=["ct1"])

    assert [echo["node"] for echo in answer["echoes"]] == ["pacs"]
    assert not answer["changed"]


def test_a_node_that_the_orthanc_does_not_know_is_named(ask: Ask) -> None:
    assert "has no DICOM node mr7" in ask(nodes=["pacs", "mr7"])["msg"]


def test_an_account_that_may_not_is_told_as_such(ask: Ask, orthanc: Any) -> None:
    orthanc.answers["POST /modalities/pacs/echo"] = 403

    assert "HTTP 403" in ask(nodes=["pacs"])["msg"]


def test_a_node_that_hangs_does_not_hang_the_module(ask: Ask, orthanc: Any) -> None:
    orthanc.answers["POST /modalities/pacs/echo"] = "hang"

    (echo,) = ask(nodes=["pacs"])["echoes"]

    assert "does not answer within 2 s" in echo["cause"]


def test_the_orthanc_answers_to_one_that_it_knows(ask: Ask, dicom_port: int) -> None:
    answer = ask(nodes=[], dicom_port=dicom_port, calling_aet="KNOWN")

    (echo,) = answer["echoes"]
    assert (echo["direction"], echo["aet"], echo["answered"]) == ("in", "ANON", True)
    assert echo["seconds"] > 0


def test_a_refused_stranger_is_an_answer_unless_it_should_be_known(
    ask: Ask, dicom_port: int
) -> None:
    assert ask(nodes=[], dicom_port=dicom_port)["echoes"][0]["answered"]

    answer = ask(nodes=[], dicom_port=dicom_port, calling_aet="SCANNER")

    assert "the calling AE title is not known there" in answer["msg"]


@pytest.mark.usefixtures("ask")
def test_check_mode_asks_as_well(run_module: Any, connection: dict[str, Any]) -> None:
    answer = run_module("orthanc_echo", {**connection, "nodes": ["pacs"]}, check=True)

    assert answer["echoes"][0]["answered"]
