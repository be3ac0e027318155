# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles say about their variables agrees with what they do with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).parents[3] / "roles"
KINDS = ("phi", "anon", "disk")
NAMES = sorted(path.parents[1].name for path in ROLES.glob("*/meta/argument_specs.yml"))


def load(path: str) -> Any:
    return yaml.safe_load((ROLES / path).read_text())


def options(role: str) -> dict[str, dict[str, Any]]:
    """Return the options of all entry points of a role."""
    specs = load(f"{role}/meta/argument_specs.yml")["argument_specs"]
    return {name: told for entry in specs.values() for name, told in entry["options"].items()}


def mapping(kind: str) -> dict[str, Any]:
    """Return the variables that a kind gives to the role of the instance."""
    (task,) = load(f"orthanc_{kind}/tasks/instance.yml")
    given: dict[str, Any] = task["vars"]
    return given


def test_every_role_has_a_spec() -> None:
    assert sorted(path.name for path in ROLES.iterdir() if path.is_dir()) == NAMES


@pytest.mark.parametrize("role", NAMES)
def test_every_entry_point_has_a_spec_and_every_spec_an_entry_point(role: str) -> None:
    specs = load(f"{role}/meta/argument_specs.yml")["argument_specs"]

    for entry in specs:
        assert (ROLES / role / f"tasks/{entry}.yml").is_file(), entry


@pytest.mark.parametrize("role", NAMES)
def test_defaults_are_the_defaults_that_the_spec_tells(role: str) -> None:
    told = {
        name: option["default"]
        for name, option in options(role).items()
        if name.startswith(role) and "default" in option
    }

    assert load(f"{role}/defaults/main.yml") == told


@pytest.mark.parametrize("role", NAMES)
def test_an_option_is_required_or_has_a_default(role: str) -> None:
    for name, option in options(role).items():
        assert option.get("required", False) != ("default" in option), name


@pytest.mark.parametrize("role", NAMES)
def test_every_option_is_described(role: str) -> None:
    for name, option in options(role).items():
        assert option["description"], name
        for inner, told in option.get("options", {}).items():
            assert told["description"], f"{name}.{inner}"


@pytest.mark.parametrize("kind", ["anon", "disk"])
def test_what_kinds_have_in_common_is_told_alike(kind: str) -> None:
    phi, other = options("orthanc_phi"), options(f"orthanc_{kind}")

    common = [name for name in other if name.replace(f"orthanc_{kind}_", "orthanc_phi_", 1) in phi]
    assert len(common) > 25
    for name in common:
        same = phi[name.replace(f"orthanc_{kind}_", "orthanc_phi_", 1)]
        for part in ("type", "elements", "choices", "options", "description"):
            assert other[name].get(part) == same.get(part), f"{part} of {name}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_gives_the_instance_only_what_it_knows(kind: str) -> None:
    assert set(mapping(kind)) <= set(options("orthanc_instance"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_gives_the_instance_everything_that_it_needs(kind: str) -> None:
    required = {
        name for name, option in options("orthanc_instance").items() if option.get("required")
    }

    assert required <= set(mapping(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_an_option_that_a_kind_shares_with_the_instance_reaches_it(kind: str) -> None:
    given = mapping(kind)
    instance = options("orthanc_instance")

    for name in options(f"orthanc_{kind}"):
        inner = name.replace(f"orthanc_{kind}_", "orthanc_instance_", 1)
        if inner in instance:
            assert given.get(inner) == f"{{{{ {name} }}}}", name
