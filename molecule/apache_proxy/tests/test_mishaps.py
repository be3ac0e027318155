# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong between people and Orthancs: a false certificate, and an Apache that stops."""

from __future__ import annotations

import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from deployed_host import SITE, Host, sign_on, wait_for
from playwright.sync_api import BrowserContext
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

PEM = "/etc/orthanc/anon/orthanc/tls/server.pem"


@pytest.fixture
def trust(host: Host, tmp_path: Path) -> ssl.SSLContext:
    authority = tmp_path / "ca.crt"
    subprocess.run(
        ["docker", "cp", f"{host.name}:/etc/orthanc/ca/ca.crt", authority],
        check=True, capture_output=True,
    )  # fmt: skip
    return ssl.create_default_context(cafile=authority)


def test_no_header_helps_at_an_orthancs_own_port(host: Host, trust: ssl.SSLContext) -> None:
    trust.check_hostname = False  # its address is not known before the host runs
    claims = {"X-Remote-User": "adam", "Authorization": "Bearer adam"}
    for name, value in claims.items():
        answer = httpx.get(
            f"https://{host.address}:8043/studies", headers={name: value}, verify=trust
        )
        assert answer.status_code == httpx.codes.UNAUTHORIZED, name


@pytest.mark.parametrize("false", ["of another authority", "for another name", "ended"])
def test_an_orthanc_with_a_false_certificate_is_told_by_a_plain_page(
    host: Host, someone: BrowserContext, false: str
) -> None:
    host.run("cp", "-p", PEM, "/root/good.pem")
    authority = ["-CA", "/etc/orthanc/ca/ca.crt", "-CAkey", "/etc/orthanc/ca/ca.key"]
    options = {
        "of another authority": ["-days", "2", "-addext", "subjectAltName=DNS:127.0.0.1"],
        "for another name": [*authority, "-days", "2", "-addext", "subjectAltName=DNS:elsewhere"],
        "ended": [*authority, "-not_before", "20200101000000Z", "-not_after", "20200201000000Z",
                  "-addext", "subjectAltName=DNS:127.0.0.1"],
    }[false]  # fmt: skip
    page = sign_on(someone, "vera", "/orthanc-anon/system")
    try:
        host.run(
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=orthanc-anon",
            "-keyout", "/root/false.key", "-out", "/root/false.crt", *options,
        )  # fmt: skip
        host.run("sh", "-c", f"cat /root/false.crt /root/false.key >{PEM}")
        host.run("docker", "restart", "orthanc-anon")
        wait_for("the false Orthanc listens", lambda: listens(host))
        answer = page.goto(f"{SITE}/orthanc-anon/system")
        content = page.content()
    finally:
        host.run("cp", "-p", "/root/good.pem", PEM)
        host.run("docker", "restart", "orthanc-anon")

    assert answer
    assert answer.status == 502
    assert "The imaging server is not available" in content
    wait_for(
        "the true Orthanc is back", lambda: (a := page.goto(f"{SITE}/orthanc-anon/system")) and a.ok
    )


def listens(host: Host) -> bool:
    told = host.run(
        "sh", "-c", "openssl s_client -connect 127.0.0.1:8043 </dev/null 2>&1", check=False
    )
    return "BEGIN CERTIFICATE" in told


def big_instance(size: int) -> bytes:
    instance: Dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    instance.StudyInstanceUID, instance.SeriesInstanceUID = generate_uid(), generate_uid()
    instance.Rows, instance.Columns = 1024, size // 2048
    instance.PixelData = os.urandom(2 * instance.Rows * instance.Columns)
    stream = BytesIO()
    instance.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_an_upload_that_is_cut_off_leaves_nothing_and_can_be_repeated(
    host: Host, someone: BrowserContext
) -> None:
    page = sign_on(someone, "hana", "/orthanc-phi/statistics")
    before = page.evaluate("async () => (await fetch('/orthanc-phi/studies')).json()")
    instance = big_instance(64 * 2**20)

    def slowly() -> Iterator[bytes]:
        for start in range(0, len(instance), 2**20):
            if start == 32 * 2**20:
                host.run("systemctl", "stop", "apache2")
            yield instance[start : start + 2**20]
            time.sleep(0.02)

    with session(host, someone) as hana:
        with pytest.raises(httpx.HTTPError):
            hana.post("/orthanc-phi/instances", content=slowly()).raise_for_status()
        host.run("systemctl", "start", "apache2")
        wait_for("Apache is back", lambda: hana.get("/orthanc-phi/system"))

    # The sessions ended with Apache.
    someone.clear_cookies()
    sign_on(someone, "hana", "/orthanc-phi/statistics")
    with session(host, someone) as hana:
        after = hana.get("/orthanc-phi/studies").json()
        repeated = hana.post("/orthanc-phi/instances", content=instance)

    assert after == before
    assert repeated.json()["Status"] == "Success"


def session(host: Host, context: BrowserContext) -> httpx.Client:
    """Return a client with the session of a browser, which can send more than that can."""
    cookies = {one["name"]: one["value"] for one in context.cookies(SITE)}
    return httpx.Client(
        base_url=f"https://{host.address}",
        cookies=cookies,
        headers={"Host": "images.example.org", "Origin": SITE},
        # The site's name leads elsewhere on this machine; other tests verify the certificate.
        verify=False,
        timeout=120,
    )


def test_a_gigabyte_is_uploaded_without_filling_apaches_memory(
    host: Host, someone: BrowserContext
) -> None:
    sign_on(someone, "hana", "/orthanc-phi/statistics")
    instance = big_instance(32 * 2**20)
    part = b"--part\r\nContent-Type: application/dicom\r\n\r\n" + instance + b"\r\n"
    times = 2**30 // len(part) + 1
    before = peak_memory(host)

    def parts() -> Iterator[bytes]:
        for _ in range(times):
            yield part
        yield b"--part--\r\n"

    with session(host, someone) as hana:
        answer = hana.post(
            "/orthanc-phi/dicom-web/studies",
            content=parts(),
            headers={
                "Content-Type": 'multipart/related; type="application/dicom"; boundary=part',
                "Accept": "application/dicom+json",
            },
            timeout=600,
        )

    assert answer.status_code == httpx.codes.OK, answer.text[:500]
    assert peak_memory(host) - before < 64 * 2**20


def peak_memory(host: Host) -> int:
    """Return the greatest resident size of any process of Apache so far, in bytes."""
    told = host.run("sh", "-c", "grep -h VmHWM $(pgrep apache2 | sed 's#.*#/proc/&/status#')")
    return max(int(line.split()[1]) * 1024 for line in told.splitlines() if line)
