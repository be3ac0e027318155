# SPDX-License-Identifier: GPL-3.0-or-later
"""The old setup's `.env` becomes variables of an inventory."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from orthanc_deid.cli import main

OLD = """\
# the old setup
BASE_NAME=IRB_2041
ORTHANC_UID=1205
export ORTHANC_GID='1206'
HOST_IP=192.0.2.10   # of this machine
CERT_SUBJ="/C=US/ST=New York/L=New York/O=Example Hospital/CN=orthanc"
DATA_DIR=/data/orthanc
PHI_AET=PHISTORE
MAIL_TO=someone@example.org
POSTGRES_PASSWORD=hunter2
SOMETHING_ELSE=5
"""


def test_what_has_a_place_here_becomes_a_variable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text(OLD)

    assert main(["import-old-env", str(tmp_path / ".env")]) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed) == {
        "orthanc_site_base_name": "IRB_2041",
        "orthanc_site_uid": 1205,
        "orthanc_site_gid": 1206,
        "orthanc_site_address": "192.0.2.10",
        "orthanc_site_certificate_subject": {
            "countryName": "US",
            "stateOrProvinceName": "New York",
            "localityName": "New York",
            "organizationName": "Example Hospital",
        },
        "orthanc_site_data_dir": "/data/orthanc",
        "orthanc_phi_aet": "PHISTORE",
    }
    for name in ("MAIL_TO", "POSTGRES_PASSWORD", "SOMETHING_ELSE"):
        assert f"#   {name}\n" in printed
    assert "hunter2" not in printed


def test_a_file_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import-old-env", str(tmp_path / "none")]) == 1
    assert "cannot be read" in capsys.readouterr().err
