# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a study, and the only moves that it may make."""

from __future__ import annotations

from enum import StrEnum

from orthanc_deid.errors import DeidError


class State(StrEnum):
    """Where a study stands, as kept in the crosswalk."""

    RECEIVED = "received"
    STABLE = "stable"
    QUEUED = "queued"
    WORKING = "working"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    QUARANTINED = "quarantined"
    WITHDRAWN = "withdrawn"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.STABLE, State.QUEUED}),
    State.STABLE: frozenset({State.QUEUED, State.RECEIVED}),
    State.QUEUED: frozenset({State.WORKING, State.RECEIVED, State.WITHDRAWN}),
    State.WORKING: frozenset(
        # queued: a transient fault, a dead worker, or instances that arrived meanwhile;
        # received: deleted on the PHI Orthanc before it was done.
        {State.DELIVERING, State.QUARANTINED, State.QUEUED, State.RECEIVED, State.WITHDRAWN}
    ),
    State.DELIVERING: frozenset(
        {State.DELIVERED, State.QUARANTINED, State.QUEUED, State.RECEIVED, State.WITHDRAWN}
    ),
    # queued: instances came after the delivery, or a person asked for it again.
    State.DELIVERED: frozenset({State.QUEUED, State.WITHDRAWN}),
    State.QUARANTINED: frozenset({State.QUEUED, State.WITHDRAWN}),
    State.WITHDRAWN: frozenset(),
}

UNFINISHED = frozenset({State.QUEUED, State.WORKING, State.DELIVERING})
"""States in which a job must exist for the study."""


def sources_of(target: State) -> frozenset[State]:
    """Return the states from which a study may move to `target`."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)


class IllegalTransitionError(DeidError):
    """A study was asked to make a move that its state does not allow."""

    def __init__(self, state: str, target: State) -> None:
        super().__init__(
            f"a study that is {state} cannot become {target}; "
            f"only {', '.join(sorted(sources_of(target))) or 'no state'} can"
        )
