"""The states of an execution and the moves between them (design §7).

In:  a state and where it wants to go. Out: yes, or a MoveRefusedError that names both.
Not here: writing a move down (ledger/), what an attempt reports (job.py), when to try again (retry.py).
"""

from __future__ import annotations

from enum import StrEnum

from oscar_events.errors import MoveRefusedError


class State(StrEnum):
    """Where an execution is. `failed` is an outcome of an attempt, not a state."""

    PENDING = "pending"
    LEASED = "leased"
    SUBMITTED = "submitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        """Whether the execution has ended for good."""
        return not MOVES[self]


_ENDS = frozenset({State.SUCCEEDED, State.DEAD, State.CANCELLED})

MOVES: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.LEASED, State.CANCELLED, State.SUPERSEDED, State.EXPIRED}),
    State.LEASED: _ENDS | {State.PENDING, State.RUNNING, State.SUBMITTED},
    State.SUBMITTED: _ENDS | {State.PENDING, State.RUNNING},
    State.RUNNING: _ENDS | {State.PENDING},
    State.SUCCEEDED: frozenset(),
    State.DEAD: frozenset(),
    State.CANCELLED: frozenset(),
    State.SUPERSEDED: frozenset(),
    State.EXPIRED: frozenset(),
}

LIVE = frozenset(state for state in State if not state.is_terminal)
# A backend may hold something of these: they count against concurrency.
IN_FLIGHT = LIVE - {State.PENDING}


def check_move(execution: str, here: State, there: State) -> None:
    """Raise MoveRefusedError unless an execution may go from here to there."""
    if there not in MOVES[here]:
        allowed = ", ".join(sorted(MOVES[here])) or "nothing: it has ended"
        raise MoveRefusedError(
            f"run {execution} is {here} and cannot become {there}; from {here} it may become {allowed}"
        )
