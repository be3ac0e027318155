# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role says about subject numbers is what the service understands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from orthanc_deid.numbering import SCHEMES, PseudonymFormat, check_numbering

ROLE = Path(__file__).parents[3] / "roles/orthanc_phi"


def load(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text())


DEFAULTS = load("defaults/main.yml")
SETTINGS = load("vars/main.yml")["__orthanc_phi_subject_settings"]
OPTIONS = load("meta/argument_specs.yml")["argument_specs"]["main"]["options"]


def test_a_problem_that_the_service_tells_becomes_one_of_a_variable() -> None:
    for key, value in SETTINGS.items():
        assert value == f"{{{{ orthanc_phi_{key} }}}}"


def test_the_roles_defaults_are_accepted() -> None:
    defaults = {key: DEFAULTS[f"orthanc_phi_{key}"] for key in SETTINGS if key != "base_name"}
    assert check_numbering({"base_name": "DEMO", **defaults}) == []


def test_the_role_offers_every_way_of_numbering() -> None:
    assert OPTIONS["orthanc_phi_numbering"]["choices"] == list(SCHEMES)


@pytest.mark.parametrize("part", ["patient_name", "patient_id"])
def test_the_pseudonym_has_the_same_default_everywhere(part: str) -> None:
    told = OPTIONS["orthanc_phi_pseudonym"]
    expected = getattr(PseudonymFormat(), part)
    assert DEFAULTS["orthanc_phi_pseudonym"][part] == expected
    assert told["default"][part] == told["options"][part]["default"] == expected


def test_the_example_of_cohorts_in_the_operating_guide_can_be_used() -> None:
    guide = (ROLE.parents[1] / "docs/operating.md").read_text()
    blocks = [after.split("```")[0] for after in guide.split("```yaml")[1:]]
    (example,) = (block for block in blocks if "orthanc_phi_cohorts" in block)
    given = yaml.safe_load(example)
    settings = {name.removeprefix("orthanc_phi_"): value for name, value in given.items()}
    assert check_numbering({"base_name": "DEMO", **settings}) == []
