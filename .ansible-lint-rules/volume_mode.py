# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a container may write to what is mounted into it is always said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansiblelint.errors import MatchError
from ansiblelint.file_utils import Lintable
from ansiblelint.rules import AnsibleLintRule
from ansiblelint.yaml_utils import get_line_column

# In an expression: a mount written as a dictionary, and the end of a volume, such as ':/data:ro'.
DICTIONARY = re.compile(r"{[^{}]*[\"']target\\?[\"'][^{}]*}")
VOLUME = re.compile(r"(:/[^'\"]*)['\"]")
SAID = re.compile(r":(ro|rw)$")


class VolumeModeRule(AnsibleLintRule):
    """A mount does not say whether the container may write to it."""

    id = "volume-mode"
    description = "A volume ends in :ro or :rw, and a mount has read_only: true or false."
    severity = "HIGH"
    tags = ["security"]
    version_changed = "0.1.0"

    def matchyaml(self, file: Lintable) -> list[MatchError]:
        """Return a problem for each mount of a file that says nothing."""
        if str(file.base_kind) != "text/yaml":
            return []
        return [
            self.create_matcherror(
                message=f"{place} does not say whether the container may write there",
                lineno=line, filename=file,
            )
            for place, line in silent_mounts(file.data)
        ]  # fmt: skip


def silent_mounts(data: Any, *, line: int = 1) -> Iterator[tuple[str, int]]:
    """Yield each mount that does not say whether it may be written to, and its line."""
    if isinstance(data, dict):
        line, _ = get_line_column(data, line)
        if {"source", "target"} <= data.keys() and "read_only" not in data:
            yield str(data["target"]), line
        for key, value in data.items():
            if key == "volumes":
                yield from ((place, line) for place in _silent_volumes(value))
            elif isinstance(value, str) and ("mounts" in str(key)):
                yield from (
                    (found, line) for found in DICTIONARY.findall(value) if "read_only" not in found
                )
            else:
                yield from silent_mounts(value, line=line)
    elif isinstance(data, list):
        for one in data:
            yield from silent_mounts(one, line=line)


def _silent_volumes(volumes: Any) -> Iterator[str]:
    """Yield each volume that does not end in its mode; one that is only a place needs none."""
    if isinstance(volumes, str):
        yield from (place for place in VOLUME.findall(volumes) if not SAID.search(place))
    elif isinstance(volumes, list):
        for volume in volumes:
            if isinstance(volume, str) and ":" in volume and not SAID.search(volume):
                yield volume
