# SPDX-License-Identifier: GPL-3.0-or-later
"""A task's result outlives its play and outranks a variable of a task, so names must differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
NESTED = ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks")


def tasks_below(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield tasks, plays and blocks with all that is nested in them."""
    for entry in entries:
        yield entry
        for key in NESTED:
            yield from tasks_below(entry.get(key) or [])


def test_no_result_has_the_name_of_a_tasks_variable() -> None:
    results, variables = set(), set()
    for path in (*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/**/*.yml")):
        if "collections" in path.parts:
            continue
        for task in tasks_below(yaml.safe_load(path.read_text()) or []):
            results |= {task["register"]} if "register" in task else set()
            results |= set(task.get("ansible.builtin.set_fact", ()))
            variables |= set(task.get("vars") or ())
    assert len(results) > 100
    assert results & variables == set()
