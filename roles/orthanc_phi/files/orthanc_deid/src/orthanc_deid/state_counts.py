# SPDX-License-Identifier: GPL-3.0-or-later
"""How many studies are in each state, cheap also where there are millions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

import sqlalchemy as sa

from orthanc_deid.schema import studies
from orthanc_deid.states import State

SETTLED: Final = frozenset({State.DELIVERED, State.WITHDRAWN})
"""The states in which studies rest, and of which there are ever more."""

QUICK_SECONDS: Final = 0.05
SHARE: Final = 100

Value = TypeVar("Value")


class Seldom(Generic[Value]):
    """Keeps what was counted, and counts anew so seldom that a hundredth of the time goes there.

    What is counted quickly is not kept. It may be used by several threads.
    """

    def __init__(
        self,
        count: Callable[[sa.Connection], Value],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[Value, float] | None = None

    def value(self, connection: sa.Connection) -> Value:
        """Return what was counted last, or what is counted now."""
        with self._lock:
            if self._kept and self._clock() < self._kept[1]:
                return self._kept[0]
            begin = self._clock()
            value = self._count(connection)
            end = self._clock()
            quick = end - begin < QUICK_SECONDS
            self._kept = None if quick else (value, end + SHARE * (end - begin))
            return value


class StateCounts:
    """Counts the studies in each state: those that are not settled exactly as they are now."""

    def __init__(self) -> None:
        self._settled = Seldom(lambda connection: _counts(connection, SETTLED))

    def now(self, connection: sa.Connection) -> dict[State, int]:
        """Return the number of studies in each state; of `SETTLED` it may be some minutes old."""
        moving = _counts(connection, frozenset(State) - SETTLED)
        found = {**self._settled.value(connection), **moving}
        return {state: found.get(state, 0) for state in State}


def _counts(connection: sa.Connection, states: frozenset[State]) -> Mapping[State, int]:
    query = (
        sa.select(studies.c.state, sa.func.count())
        .where(studies.c.state.in_(sorted(states)))
        .group_by(studies.c.state)
    )
    return {State(state): count for state, count in connection.execute(query)}
