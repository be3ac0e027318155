# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import importlib.util
import io
import tarfile
from pathlib import Path
from types import ModuleType

import pytest
from ansible.errors import AnsibleFilterError

PLUGIN = Path(__file__).parents[4] / "plugins/filter/shipped_tree.py"


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("shipped_tree", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/engine.py").write_text("print('engine')\n")
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "run").chmod(0o755)
    return tmp_path


def names(archive: str) -> dict[str, int]:
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(archive))) as tar:
        return {entry.name: entry.mode for entry in tar}


@pytest.mark.parametrize("leftover", ["tests/a.py", "src/__pycache__/a.pyc", "x.egg-info/PKG-INFO"])
def test_what_is_not_shipped_changes_neither_digest_nor_archive(
    plugin: ModuleType, tree: Path, leftover: str
) -> None:
    before = plugin.tree_digest(str(tree)), plugin.tree_archive(str(tree))
    (tree / leftover).parent.mkdir(parents=True, exist_ok=True)
    (tree / leftover).write_text("leftover")
    assert (plugin.tree_digest(str(tree)), plugin.tree_archive(str(tree))) == before


def test_content_name_mode_and_inputs_each_change_the_digest(
    plugin: ModuleType, tree: Path
) -> None:
    digests = [plugin.tree_digest(str(tree)), plugin.tree_digest(str(tree), "trixie")]
    (tree / "src/engine.py").write_text("print('motor')\n")
    digests.append(plugin.tree_digest(str(tree)))
    (tree / "src/engine.py").rename(tree / "src/motor.py")
    digests.append(plugin.tree_digest(str(tree)))
    (tree / "run").chmod(0o644)
    digests.append(plugin.tree_digest(str(tree)))
    assert len(set(digests)) == 5


def test_times_do_not_change_the_archive(plugin: ModuleType, tree: Path) -> None:
    before = plugin.tree_archive(str(tree))
    (tree / "run").touch()
    assert plugin.tree_archive(str(tree)) == before


def test_the_archive_holds_the_shipped_files_with_their_executable_bits(
    plugin: ModuleType, tree: Path
) -> None:
    assert names(plugin.tree_archive(str(tree))) == {"run": 0o755, "src/engine.py": 0o644}


def test_a_missing_directory_is_named(plugin: ModuleType, tree: Path) -> None:
    with pytest.raises(AnsibleFilterError, match=r"no directory '.*gone'"):
        plugin.tree_digest(str(tree / "gone"))


def test_a_directory_without_files_is_refused(plugin: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    with pytest.raises(AnsibleFilterError, match="holds no files"):
        plugin.tree_digest(str(tmp_path))
