# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliveries to DICOM nodes: DCMTK's storescp, and pynetdicom where a node has to misbehave."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, JPEG2000Lossless, MRImageStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRootFind
from pynetdicom.sop_class import Verification

from orthanc_deid.destination_config import DicomNode, Tls
from orthanc_deid.destinations_dicom import DicomDestination
from orthanc_deid.orthanc_client import RefusedError, TransientError
from partners import Authority, make_authority

from .conftest import Files, make_files

SITE = Path("/etc/orthanc-deid/ca.crt")


def go_on() -> None:
    """Nothing stops the delivery."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def storescp(directory: Path, *arguments: str) -> Iterator[DicomNode]:
    """Run DCMTK's storescp, which stores into `directory` as it receives."""
    port = free_port()
    directory.mkdir(exist_ok=True)
    command = ["/usr/bin/storescp", "+B", "+xa", "-od", str(directory), "-aet", "PACS", *arguments]
    with subprocess.Popen([*command, str(port)]) as process:
        try:
            _await_port(port)
            yield DicomNode("127.0.0.1", port, "PACS", "WORKER")
        finally:
            process.kill()


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with socket.socket() as caller:
            if caller.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("storescp does not listen")


@contextmanager
def node(
    status: Callable[[int], int] = lambda _count: 0x0000,
    *,
    forgets: int = 0,
    offers_find: bool = True,
    syntaxes: tuple[str, ...] = (),
) -> Iterator[DicomNode]:
    """Run a node that answers the n-th C-STORE with a status, and C-FIND by what it kept."""
    kept: dict[str, str] = {}
    count = 0

    def store(event: evt.Event) -> int:
        nonlocal count
        count += 1
        code = status(count)
        if code in {0x0000, 0xB000} and count > forgets:
            kept[event.dataset.SOPInstanceUID] = event.dataset.SeriesInstanceUID
        return code

    def find(event: evt.Event) -> Iterator[tuple[int, object]]:
        for uid, series in kept.items():
            if series == event.identifier.SeriesInstanceUID:
                event.identifier.SOPInstanceUID = uid
                yield 0xFF00, event.identifier

    theirs = AE(ae_title="PACS")
    theirs.require_called_aet = True
    theirs.add_supported_context(Verification)
    for sop_class in (CTImageStorage, MRImageStorage):
        if syntaxes:
            theirs.add_supported_context(sop_class, list(syntaxes))
        else:
            theirs.add_supported_context(sop_class)
            theirs.add_supported_context(sop_class, JPEG2000Lossless)
    if offers_find:
        theirs.add_supported_context(StudyRootFind)
    handlers = [(evt.EVT_C_STORE, store), (evt.EVT_C_FIND, find)]
    server = theirs.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield DicomNode("127.0.0.1", server.server_address[1], "PACS", "WORKER")
    finally:
        server.shutdown()


def test_files_arrive_at_dcmtk_as_they_are(files: Files, tmp_path: Path) -> None:
    with storescp(tmp_path / "received") as pacs:
        DicomDestination("pacs", pacs).deliver(files.study, files.paths, go_on)
    received = [dcmread(path) for path in (tmp_path / "received").iterdir()]
    sent = [dcmread(path) for path in files.paths.values()]
    assert sorted(received, key=_uid) == sorted(sent, key=_uid)
    assert {one.file_meta.TransferSyntaxUID for one in received} == {
        one.file_meta.TransferSyntaxUID for one in sent
    }


def _uid(dataset: object) -> str:
    return str(dataset.SOPInstanceUID)


def test_dcmtk_is_called_by_tls_and_both_sides_prove_themselves(
    files: Files, tmp_path: Path, authority: Authority
) -> None:
    certificate, key = authority.sign("worker")
    authority.sign("pacs")
    served = authority.directory
    with storescp(tmp_path / "received", "+tls", f"{served}/pacs.key", f"{served}/pacs.crt",
                  "+cf", f"{served}/ca.crt", "-rc") as pacs:  # fmt: skip
        secured = replace(pacs, tls=Tls(authority.certificate, certificate + key))
        DicomDestination("pacs", secured).deliver(files.study, files.paths, go_on)
        assert len(list((tmp_path / "received").iterdir())) == len(files.paths)
        nameless = replace(pacs, tls=Tls(authority.certificate))
        with pytest.raises(TransientError, match="a certificate of this side"):
            DicomDestination("pacs", nameless).check()
        with pytest.raises(TransientError, match="does it expect TLS"):
            DicomDestination("pacs", pacs).check()


def test_a_certificate_of_an_unknown_authority_or_another_host_is_not_trusted(
    tmp_path: Path, authority: Authority
) -> None:
    authority.sign("pacs")
    served = authority.directory
    stranger = make_authority(tmp_path / "others", "stranger").certificate
    with storescp(tmp_path / "received", "+tls", f"{served}/pacs.key", f"{served}/pacs.crt",
                  "-ic") as pacs:  # fmt: skip
        with pytest.raises(TransientError, match="cannot be trusted: unable to get"):
            DicomDestination("pacs", replace(pacs, tls=Tls(stranger))).check()
        renamed = replace(pacs, host="127.0.0.2", tls=Tls(authority.certificate))
        with pytest.raises(TransientError, match="cannot be trusted: IP address mismatch"):
            DicomDestination("pacs", renamed).check()
        tolerant = replace(renamed, tls=Tls(authority.certificate, check_host=False))
        DicomDestination("pacs", tolerant).check()


def test_what_a_node_answered_to_with_success_but_does_not_have_is_not_delivered(
    files: Files,
) -> None:
    with node(forgets=1) as pacs:
        destination = DicomDestination("pacs", pacs)
        with pytest.raises(TransientError, match="to 4 instances, but 1 are not there"):
            destination.deliver(files.study, files.paths, go_on)
        destination.deliver(files.study, files.paths, go_on)


def test_without_c_find_the_statuses_count_unless_a_query_is_demanded(files: Files) -> None:
    with node(offers_find=False) as pacs:
        DicomDestination("pacs", pacs).deliver(files.study, files.paths, go_on)
        demanding = DicomDestination("pacs", replace(pacs, verify="query"))
        with pytest.raises(TransientError, match="does not answer C-FIND"):
            demanding.deliver(files.study, files.paths, go_on)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (0xA700, TransientError, "out of resources"),
        (0x0110, TransientError, "processing failure"),
        (0xA900, RefusedError, "does not match its SOP class"),
        (0xC124, RefusedError, "cannot be understood"),
        (0x0124, RefusedError, "not authorized"),
        (0x0999, RefusedError, "status 0999"),
    ],
)
def test_each_status_is_judged(
    files: Files, status: int, error: type[Exception], words: str
) -> None:
    with (
        node(lambda count: status if count == 3 else 0x0000) as pacs,
        pytest.raises(error, match=words),
    ):
        DicomDestination("pacs", pacs).deliver(files.study, files.paths, go_on)


@pytest.mark.parametrize("status", [0xB000, 0x0111])
def test_a_warning_and_a_duplicate_count_as_stored(files: Files, status: int) -> None:
    with node(lambda _count: status) as pacs:
        answered = replace(pacs, verify="answer")
        DicomDestination("pacs", answered).deliver(files.study, files.paths, go_on)


def test_an_uncompressed_file_is_sent_in_the_encoding_that_every_node_has(tmp_path: Path) -> None:
    files = make_files(tmp_path / "spool", ("CT_small.dcm",))
    with node(syntaxes=(ImplicitVRLittleEndian,)) as pacs:
        DicomDestination("pacs", pacs).deliver(files.study, files.paths, go_on)


def test_an_encoding_that_a_node_does_not_have_is_told(files: Files) -> None:
    with (
        node(syntaxes=(ImplicitVRLittleEndian,)) as pacs,
        pytest.raises(RefusedError, match="MR Image Storage in JPEG 2000 Image Compression"),
    ):
        DicomDestination("pacs", pacs).deliver(files.study, files.paths, go_on)


def test_a_node_that_goes_away_in_the_middle_gets_the_study_later(
    files: Files, tmp_path: Path
) -> None:
    with (
        storescp(tmp_path / "received", "--abort-after") as pacs,
        pytest.raises(TransientError, match="ended the association in the middle"),
    ):
        DicomDestination("pacs", pacs).deliver(files.study, files.paths, go_on)


def test_a_node_that_is_down_or_knows_another_title_is_told() -> None:
    with node() as pacs:
        DicomDestination("pacs", pacs).check()
        with pytest.raises(TransientError, match="must know WORKER and be called OTHER"):
            DicomDestination("pacs", replace(pacs, aet="OTHER")).check()
    with pytest.raises(TransientError, match="cannot be reached: Connection refused"):
        DicomDestination("pacs", pacs).check()


def test_a_worker_that_stops_sends_nothing_more(files: Files) -> None:
    left = iter([None])

    def stop_after_one() -> None:
        next(left)

    received: list[int] = []

    def count(number: int) -> int:
        received.append(number)
        return 0x0000

    with node(count) as pacs, pytest.raises(StopIteration):
        DicomDestination("pacs", pacs).deliver(files.study, files.paths, stop_after_one)
    assert received == [1]
