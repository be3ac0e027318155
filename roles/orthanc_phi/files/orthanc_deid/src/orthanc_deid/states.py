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
    REVIEW = "review"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    QUARANTINED = "quarantined"
    REJECTED = "rejected"
    WITHDRAWING = "withdrawing"
    WITHDRAWN = "withdrawn"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.STABLE, State.QUEUED, State.REJECTED, State.WITHDRAWING}),
    State.STABLE: frozenset({State.QUEUED, State.RECEIVED, State.REJECTED, State.WITHDRAWING}),
    State.QUEUED: frozenset({State.WORKING, State.RECEIVED, State.WITHDRAWING}),
    State.WORKING: frozenset(
        # queued: a transient fault, a dead worker, or instances that arrived meanwhile;
        # received: deleted on the PHI Orthanc before it was done.
        {
            State.REVIEW,
            State.DELIVERING,
            State.QUARANTINED,
            State.QUEUED,
            State.RECEIVED,
            State.WITHDRAWING,
        }
    ),
    # queued: a person released it, or it changed.
    State.REVIEW: frozenset({State.QUEUED, State.REJECTED, State.WITHDRAWING}),
    State.DELIVERING: frozenset(
        {State.DELIVERED, State.QUARANTINED, State.QUEUED, State.RECEIVED, State.WITHDRAWING}
    ),
    # queued: instances came after the delivery, or a person asked for it again.
    State.DELIVERED: frozenset({State.QUEUED, State.WITHDRAWING}),
    State.QUARANTINED: frozenset({State.QUEUED, State.REJECTED, State.WITHDRAWING}),
    # queued: a person changed their mind; whatever arrives for it changes nothing.
    State.REJECTED: frozenset({State.QUEUED, State.WITHDRAWING}),
    State.WITHDRAWING: frozenset({State.WITHDRAWN}),
    State.WITHDRAWN: frozenset(),
}

UNFINISHED = frozenset({State.QUEUED, State.WORKING, State.DELIVERING})
"""States in which a study is on its way."""

WORKED_ON = frozenset({State.WORKING, State.DELIVERING})
"""States in which a worker has the study in its hands."""

WITH_JOB = UNFINISHED | {State.WITHDRAWING}
"""States in which a job must exist for the study."""

DECIDED = frozenset({State.REJECTED, State.WITHDRAWING, State.WITHDRAWN})
"""States in which a person has decided that the study does not go out."""


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
