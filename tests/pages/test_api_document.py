# SPDX-License-Identifier: GPL-3.0-or-later
"""The API does what its document says, whatever it is asked; schemathesis asks, with bounds."""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

import deployed

# What these do to the studies of other tests is theirs to ask for.
LEFT_OUT = r"/(anonymize|retry|release|reject|withdraw|settle|blank|stop)$|^/copies|^/fetches$"


DOCUMENT = deployed.ROOT / "roles/orthanc_phi/files/orthanc_deid/src/orthanc_deid/openapi.json"

schema = (
    schemathesis.openapi.from_path(DOCUMENT).exclude(path_regex=LEFT_OUT).exclude(method="DELETE")
)
# Orthanc itself ends a connection with other methods and no body.
schema.config.phases.update(phases=["examples", "fuzzing"])


def test_the_site_serves_the_document() -> None:
    with deployed.client("phi") as phi:
        served = phi.get("/deid/v1/openapi.json").raise_for_status().json()
    assert served == json.loads(DOCUMENT.read_text(encoding="utf-8"))


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_each_answer_is_one_that_the_document_tells(case: schemathesis.Case[Any]) -> None:
    answer = case.call(
        base_url=f"https://localhost:{deployed.PORTS['phi']}/deid/v1",
        auth=("administrator", deployed.secret("phi", "administrator")),
        verify=str(deployed.CONFIG / "ca/ca.crt"),
        timeout=60,
    )
    case.validate_response(
        answer, checks=[not_a_server_error, status_code_conformance, response_schema_conformance]
    )
