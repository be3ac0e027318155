# SPDX-License-Identifier: GPL-3.0-or-later
"""Which projects a person may see and work on, by the groups that the proxy tells of the person.

It is decided here for every route of the API: `Api` asks before a route answers, and the route
finds the answer in `Request.projects`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import sqlalchemy as sa

ALL: Final = frozenset({"administrator", "service"})
"""The accounts that see every project: who looks after the site, and the site's own programs."""


class ProjectAccess:
    """The groups of the projects.

    Args:
        groups: the groups of each project of the settings, by the project's name; a project
            without groups is open to everybody whose account may use the route.
    """

    def __init__(self, groups: Mapping[str, Collection[str]]) -> None:
        self._groups = {name: frozenset(given) for name, given in groups.items()}

    def visible(self, account: str, groups: Collection[str]) -> frozenset[str] | None:
        """Return the projects that a person may see; None is all.

        Where any project has groups, those that the settings do not have any more are closed: who
        might see them is not known.
        """
        if account in ALL or not any(self._groups.values()):
            return None
        return frozenset(
            name
            for name, given in self._groups.items()
            if not given or not given.isdisjoint(groups)
        )


def within(
    column: sa.ColumnElement[Any], projects: frozenset[str] | None
) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of the rows whose project a person may see."""
    return [] if projects is None else [column.in_(projects)]
