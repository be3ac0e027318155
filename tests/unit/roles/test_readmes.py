# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "files/role_readmes.py"


@pytest.fixture(scope="module")
def readmes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("role_readmes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SPEC = {
    "argument_specs": {
        "main": {
            "options": {
                "role_kind": {
                    "type": "str",
                    "choices": ["a", "b"],
                    "required": True,
                    "description": ["The kind, C(a) mostly.", "It stays."],
                },
                "role_nodes": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "description": "Who may call.",
                    "options": {"name": {"required": True}, "port": {"default": 104}},
                },
            }
        },
        "remove": {"options": {"role_text": {"type": "str", "default": "a|b", "description": "x"}}},
    }
}


def test_the_readmes_tell_what_the_specs_tell() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_table_has_each_variable_of_every_entry_point(readmes: ModuleType) -> None:
    old = f"# Role\n\n{readmes.BEGIN}\n| old |\n{readmes.END}\n\nMore.\n"

    assert readmes.renewed(old, readmes.table(SPEC)).splitlines() == [
        "# Role",
        "",
        readmes.BEGIN,
        "| variable | type | default | meaning |",
        "| --- | --- | --- | --- |",
        "| `role_kind` | str | required | The kind, `a` mostly. It stays. One of `a`, `b`. |",
        "| `role_nodes` | list of dict | `[]` | Who may call. Keys: name, port (`104`). |",
        r"| `role_text` | str | `a\|b` | x |",
        readmes.END,
        "",
        "More.",
    ]


def test_what_holds_for_the_site_is_told_with_whose_default_it_is(readmes: ModuleType) -> None:
    told = {
        "type": "str",
        "description": "When.",
        "default": "{{ orthanc_site_zone | default('UTC') }}",
    }
    spec = {"argument_specs": {"main": {"options": {"role_zone": told}}}}

    assert list(readmes.site_table({"role": spec}))[2:] == [
        "| `orthanc_site_zone` | [`role_zone`](../roles/role/README.md) | When. |"
    ]


def test_a_readme_without_markers_is_told(readmes: ModuleType) -> None:
    with pytest.raises(ValueError, match="it has no"):
        readmes.renewed("# Role\n", readmes.table(SPEC))
