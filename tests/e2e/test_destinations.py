"""Studies on their way to everything that may be a destination, and DICOM TLS between Orthancs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

import deployed
import partners
from deployed import CONFIG, DICOM_PORT, Runs
from partners import ADDRESS, PASSWORD, Authority, Partner
from planted import planted_study
from test_studies import leaks

SHARES = Path("/srv/orthanc-e2e-shares")
ANON_DICOM = 24243
BY_UID = "<StudyInstanceUID>/<SOPInstanceUID>.dcm"


@dataclass(frozen=True)
class Everywhere:
    """The site with further destinations."""

    authority: Authority
    orthanc: Partner
    pacs: Partner
    web: Partner
    variables: list[str]


@pytest.fixture(scope="module")
def everywhere(site: Runs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everywhere]:
    """Deploy PHI with a destination of each kind, and Anon with DICOM TLS; undo it afterwards."""
    assert site.first.returncode == 0
    directory = tmp_path_factory.mktemp("partners")
    directory.chmod(0o755)
    authority = partners.make_authority(directory / "ca")
    with ExitStack() as stack:
        orthanc, pacs, web = (
            stack.enter_context(
                partners.running(
                    f"e2e-partner-{name}",
                    directory / name,
                    authority,
                    (28101 + number, 28111 + number),
                    settings=settings,
                    trusted=(CONFIG / "ca/ca.crt").read_text(),
                )
            )
            for number, (name, settings) in enumerate(_settings().items())
        )
        given = json.dumps(_variables(authority, orthanc, pacs, web))
        variables = directory / "variables.json"
        variables.write_text(given)
        shutil.rmtree(SHARES, ignore_errors=True)
        arguments = ["--tags", "phi,anon", "-e", f"@{variables}"]
        deployed.playbook("site", *arguments)
        yield Everywhere(authority, orthanc, pacs, web, arguments)
        deployed.playbook("site", "--tags", "phi,anon")
        shutil.rmtree(SHARES)


def _settings() -> dict[str, dict[str, Any]]:
    worker = {"AET": "DEID", "Host": ADDRESS, "Port": 104, "AllowFind": True}
    # Whom it reports to, when the site's PHI asks for Storage Commitment.
    phi = {"AET": "PHI", "Host": ADDRESS, "Port": DICOM_PORT, "AllowStorageCommitment": True}
    return {
        "orthanc": {},
        "pacs": {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": "/etc/orthanc/server.pem",
            "DicomTlsPrivateKey": "/etc/orthanc/server.pem",
            "DicomTlsTrustedCertificates": "/etc/orthanc/authorities.crt",
            "DicomModalities": {"worker": worker, "phi": phi},
        },
        "web": {"Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"]},
    }


def _variables(
    authority: Authority, orthanc: Partner, pacs: Partner, web: Partner
) -> dict[str, Any]:
    certificate, key = authority.sign("worker")
    account = {"user": "partner", "password": PASSWORD, "ca": authority.certificate}
    dicom = {
        "kind": "dicom", "host": ADDRESS, "port": pacs.dicom_port, "aet": "PARTNER",
        "calling_aet": "DEID", "tls": True, "ca": authority.certificate,
        "certificate": certificate, "key": key,
    }  # fmt: skip
    return {
        "orthanc_phi_destinations": [
            {"name": "partner", "kind": "orthanc", "url": orthanc.url, **account},
            {"name": "pacs", "verify": "query", "where": [{"Modality": "CT"}], **dicom},
            {"name": "archive", "verify": "commitment", "node": "archive",
             "where": [{"Modality": "MR"}], **dicom},
            {"name": "web", "kind": "dicomweb", "url": f"{web.url}/dicom-web", **account},
            {"name": "share", "kind": "folder", "path": f"{SHARES}/all"},
            {
                "name": "mr2", "kind": "folder", "path": f"{SHARES}/mr2", "template": BY_UID,
                "where": [{"Modality": "MR", "RemoteAET": "SCANNER"}],
            },
        ],
        "orthanc_phi_dicom_nodes": [
            {"name": "scanner", "aet": "SCANNER", "host": "127.0.0.1", "listens": False},
            {"name": "archive", "aet": "PARTNER", "host": ADDRESS, "port": pacs.dicom_port,
             "allow": ["commitment"], "tls": True},
            {"name": "anon", "aet": "ANON", "host": ADDRESS, "port": ANON_DICOM, "allow": [],
             "tls": True},
            {"name": "anon-plain", "aet": "ANON", "host": ADDRESS, "port": ANON_DICOM,
             "allow": [], "listens": False},
        ],
        "orthanc_phi_pacs": [],
        "orthanc_phi_dicom_bind": ["127.0.0.1", ADDRESS],
        "orthanc_phi_dicom_tls_ca": authority.certificate,
        "orthanc_anon_dicom_tls": True,
        "orthanc_anon_dicom_tls_ca": authority.certificate,
        "orthanc_anon_dicom_bind": ["127.0.0.1", ADDRESS],
        "orthanc_anon_dicom_check_host": False,
        "orthanc_anon_dicom_nodes": [
            {"name": "phi", "aet": "PHI", "host": ADDRESS, "listens": False},
            {"name": "viewer", "aet": "VIEWER", "host": "127.0.0.1", "listens": False},
        ],
    }  # fmt: skip


def reached(study_instance_uid: str) -> dict[str, str]:
    """Return the state of a study at each destination."""
    number = deployed.state(study_instance_uid)["study"]
    told = deployed.docker(
        "exec", "e2e-phi-worker-1", "python3", "-m", "orthanc_deid", "studies", "--json"
    )
    (study,) = [one for one in json.loads(told) if one["id"] == number]
    return {one["destination"]: one["state"] for one in study["destinations"]}


def files_in(share: str) -> list[bytes]:
    """Return every DICOM file of a share."""
    return [path.read_bytes() for path in (SHARES / share).rglob("*.dcm")]


def images(files: list[bytes]) -> list[tuple[str, str, bytes]]:
    """Return SOP Instance UID, Patient ID and pixels, which no encoding of a node changes."""
    read = [dcmread(BytesIO(data)) for data in files]
    return sorted(
        (str(one.SOPInstanceUID), str(one.PatientID), one.pixel_array.tobytes()) for one in read
    )


def test_a_study_arrives_at_every_kind_of_destination_that_takes_it(
    everywhere: Everywhere,
) -> None:
    ct, planted = planted_study("CT_small.dcm", 3)
    mr, more = planted_study("MR_small_jp2klossless.dcm", 2)
    new_uids = []
    for study in (ct, mr):
        assert set(deployed.send(study)) == {0x0000}
        new_uids.append(deployed.delivered(study[0].StudyInstanceUID, len(study)))
    on_anon = [data for uid in new_uids for data in deployed.files_on_anon(uid)]
    assert len(on_anon) == 5
    assert sorted(everywhere.orthanc.files()) == sorted(on_anon)
    assert sorted(everywhere.web.files()) == sorted(on_anon)
    assert sorted(files_in("all")) == sorted(on_anon)
    assert images(everywhere.pacs.files()) == images(on_anon)
    assert sorted(files_in("mr2")) == sorted(deployed.files_on_anon(new_uids[1]))
    assert leaks(files_in("all") + everywhere.pacs.files(), planted + more) == set()
    assert reached(ct[0].StudyInstanceUID) == {
        "anon": "delivered", "disk": "delivered", "partner": "delivered", "pacs": "delivered",
        "archive": "left_out", "web": "delivered", "share": "delivered", "mr2": "left_out",
    }  # fmt: skip
    after = reached(mr[0].StudyInstanceUID)
    assert [after[name] for name in ("pacs", "archive")] == ["left_out", "delivered"]


def test_a_destination_that_is_down_gets_the_study_when_it_is_back(everywhere: Everywhere) -> None:
    everywhere.web.stop()
    study, _ = planted_study("CT_small.dcm", 2)
    assert set(deployed.send(study)) == {0x0000}
    uid = study[0].StudyInstanceUID

    def others_have_it() -> bool:
        now = reached(uid) if deployed.state(uid) else {}
        return [now.get(name) for name in ("anon", "pacs", "web")] == [
            "delivered", "delivered", "pending",
        ]  # fmt: skip

    deployed.wait_for("only one destination waits", others_have_it)
    everywhere.web.start()
    before = len(everywhere.web.files())
    deployed.wait_for("it is delivered", lambda: deployed.state(uid)["state"] == "delivered", 180)
    assert len(everywhere.web.files()) >= max(before, 2)
    assert reached(uid)["web"] == "delivered"


def test_a_second_run_changes_nothing_and_shows_no_secret(everywhere: Everywhere) -> None:
    again = deployed.playbook("site", *everywhere.variables, "--diff", "-vv")
    assert deployed.changed(again) == 0
    inspected = json.dumps(deployed.inspect("e2e-phi-worker-1"))
    for text in (PASSWORD, "PRIVATE KEY"):
        assert text not in again.stdout + again.stderr
        assert text not in inspected
    settings = CONFIG / "phi/deid/config.json"
    assert PASSWORD in settings.read_text()
    assert settings.stat().st_mode & 0o777 == 0o400


def test_every_mistake_is_told_before_the_first_change(everywhere: Everywhere) -> None:
    wrong = [
        {"name": "anon", "kind": "folder", "path": "/data"},
        {"name": "web", "kind": "dicomweb", "url": "http://web"},
        {"name": "inside", "kind": "folder", "path": str(CONFIG / "phi/share")},
    ]
    given = json.dumps({"orthanc_phi_destinations": wrong})
    done = deployed.playbook("site", *everywhere.variables, "-e", given, check=False)
    assert done.returncode != 0
    assert deployed.changed(done) == 0
    for problem in (
        "orthanc_phi_destinations[0].name: 'anon' is what the site calls",
        "orthanc_phi_destinations[0].path: must have two levels",
        "orthanc_phi_destinations[1].url: must start with https://",
        "orthanc_phi_destinations[2].path: must not lie in /etc",
    ):
        assert problem in done.stdout


@pytest.fixture
def storescu(tmp_path: Path) -> Callable[..., int]:
    """Send an instance that is marked as de-identified to Anon with DCMTK; its exit status."""
    (study, *_), _ = planted_study("CT_small.dcm", 1)
    study.PatientIdentityRemoved = "YES"
    study.save_as(tmp_path / "study.dcm")

    def send(*arguments: str) -> int:
        return subprocess.run(
            ["/usr/bin/storescu", *arguments, "-aet", "VIEWER", "-aec", "ANON", "localhost",
             str(ANON_DICOM), str(tmp_path / "study.dcm")],
            check=False, capture_output=True,
        ).returncode  # fmt: skip

    return send


def identity(authority: Authority, name: str) -> list[str]:
    """Return storescu's options for a certificate of an authority."""
    authority.sign(name)
    made = authority.directory / name
    return ["+tls", f"{made}.key", f"{made}.crt", "+cf", str(CONFIG / "ca/ca.crt")]


def test_an_orthanc_that_speaks_tls_takes_what_comes_from_a_known_authority_only(
    everywhere: Everywhere, storescu: Callable[..., int], tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(CONFIG / "ca", own)
    assert storescu(*identity(Authority(own), "scanner")) == 0
    assert storescu(*identity(everywhere.authority, "scanner")) == 0
    stranger = partners.make_authority(tmp_path / "stranger", "stranger")
    assert storescu(*identity(stranger, "scanner")) != 0
    assert storescu("+tla", "+cf", str(CONFIG / "ca/ca.crt")) != 0
    assert storescu() != 0
    # And its own certificate is one of the site's authority.
    mistrusting = identity(Authority(own), "scanner")[:-1]
    assert storescu(*mistrusting, str(everywhere.authority.directory / "ca.crt")) != 0


@pytest.mark.usefixtures("everywhere")
def test_an_orthanc_calls_a_node_by_tls_where_that_is_set() -> None:
    with deployed.client("phi") as phi:
        assert phi.post("/modalities/anon/echo", content=b"{}").status_code == 200
        assert phi.post("/modalities/anon-plain/echo", content=b"{}").status_code != 200
