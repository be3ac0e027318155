# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret stands in the tree: hosts make their own, or vault gives them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansiblelint.errors import MatchError
from ansiblelint.file_utils import Lintable
from ansiblelint.rules import AnsibleLintRule
from ansiblelint.yaml_utils import get_line_column

SECRET = re.compile(
    r"^(\w*_)?(passwords?|passphrase|secrets?|tokens?|api_?key|private_?key)$", re.IGNORECASE
)
# What a role's specification says of a setting.
SPECIFICATION = {"type", "description"}
# A path, or something that Ansible looks up when it runs, is no secret itself.
ELSEWHERE = re.compile(r"^/|{{|{%")


class StaticSecretRule(AnsibleLintRule):
    """A setting that is called a password, a token or the like has a text that anybody can read."""

    id = "static-secret"
    description = "Secrets are made on the host that uses them, or come from Ansible Vault."
    severity = "VERY_HIGH"
    tags = ["security"]
    version_changed = "0.1.0"

    def matchyaml(self, file: Lintable) -> list[MatchError]:
        """Return a problem for each secret that stands in a file as it is."""
        if str(file.base_kind) != "text/yaml":
            return []
        return [
            self.create_matcherror(
                message=f"{name} is a secret in plain text", lineno=line, filename=file
            )
            for name, line in static_secrets(file.data)
        ]


def static_secrets(data: Any, *, within: str = "", line: int = 1) -> Iterator[tuple[str, int]]:
    """Yield name and line of each secret in plain text.

    Args:
        data: what a YAML file says.
        within: the name of the setting that it is the value of, where that is of secrets.
        line: where it begins.
    """
    if isinstance(data, dict):
        line, _ = get_line_column(data, line)
        within = "" if data.keys() >= SPECIFICATION else within
        for key, value in data.items():
            name = str(key)
            secret = within or (name if SECRET.search(name) else "")
            if not name.startswith("__") or secret:
                yield from static_secrets(value, within=secret and name, line=line)
    elif isinstance(data, list):
        for one in data:  # of a list of secrets they are the names
            yield from static_secrets(one, line=line)
    elif isinstance(data, str) and within and data and not ELSEWHERE.search(data):
        yield within, line
