# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args

# A plain checkout is found under the collection's name through this directory.
sys.path.insert(0, str(Path(__file__).parents[3] / "playbooks/collections"))
COLLECTION = "ansible_collections.imaging.orthanc.plugins"

RunModule = Callable[..., dict[str, Any]]


@pytest.fixture
def run_module(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> RunModule:
    """Run a module of the collection as Ansible does, and return what it answers."""

    def run(name: str, arguments: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
        module = importlib.import_module(f"{COLLECTION}.modules.{name}")
        # What it warned of stays in the process, which Ansible would have ended.
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
        with (
            patch_module_args({**arguments, "_ansible_check_mode": check}),
            pytest.raises(SystemExit),
        ):
            module.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return run
