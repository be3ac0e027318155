# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles, lookups, and filters of collections are called by their whole name, as modules are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansiblelint.errors import MatchError
from ansiblelint.file_utils import Lintable
from ansiblelint.rules import AnsibleLintRule
from ansiblelint.yaml_utils import get_line_column

LOOKUP = re.compile(r"\b(?:lookup|query|q)\(\s*['\"]([a-z_]+)['\"]")
INCLUDES = ("ansible.builtin.include_role", "ansible.builtin.import_role")


class QualifiedNamesRule(AnsibleLintRule):
    """A role or a lookup is called by a short name, which another collection may have, too."""

    id = "qualified-names"
    description = (
        "Say imaging.orthanc.orthanc_phi and ansible.builtin.file, not orthanc_phi and file."
    )
    severity = "MEDIUM"
    tags = ["idiom"]
    version_changed = "0.1.0"

    def matchyaml(self, file: Lintable) -> list[MatchError]:
        """Return a problem for each short name of a file."""
        if str(file.base_kind) != "text/yaml":
            return []
        return [
            self.create_matcherror(message=f"{name} is a short name", lineno=line, filename=file)
            for name, line in short_names(file.data)
        ]


def short_names(data: Any, *, line: int = 1) -> Iterator[tuple[str, int]]:
    """Yield each short name of a role or a lookup, and its line."""
    if isinstance(data, dict):
        line, _ = get_line_column(data, line)
        yield from ((name, line) for name in _roles(data) if "." not in name)
        for value in data.values():
            yield from short_names(value, line=line)
    elif isinstance(data, list):
        for one in data:
            yield from short_names(one, line=line)
    elif isinstance(data, str):
        yield from ((name, line) for name in LOOKUP.findall(data))


def _roles(data: dict[str, Any]) -> Iterator[str]:
    """Yield the roles that a play or a task names; not those that it works out."""
    for module in INCLUDES:
        included = data.get(module)
        if isinstance(included, dict) and "{{" not in str(included.get("name", "{{")):
            yield str(included["name"])
    roles = data.get("roles")
    if "hosts" in data and isinstance(roles, list):
        for role in roles:
            yield str(role.get("role", role.get("name"))) if isinstance(role, dict) else str(role)
