"""The moves of an execution are those of design §7, and no others."""

from __future__ import annotations

import itertools

import pytest

from oscar_events.errors import MoveRefusedError
from oscar_events.execution import IN_FLIGHT, LIVE, State, check_move

# Written out from the design's sentence, not from the module's table.
ALLOWED = {
    ("pending", "leased"),
    ("pending", "cancelled"),
    ("pending", "superseded"),
    ("pending", "expired"),
    ("leased", "pending"),  # the lease expired or was given back: the same attempt
    ("leased", "submitted"),
    ("leased", "running"),
    ("leased", "succeeded"),
    ("leased", "dead"),
    ("leased", "cancelled"),
    ("submitted", "pending"),  # the attempt failed and is tried again
    ("submitted", "running"),
    ("submitted", "succeeded"),  # `running` is written lazily
    ("submitted", "dead"),
    ("submitted", "cancelled"),
    ("running", "pending"),
    ("running", "succeeded"),
    ("running", "dead"),
    ("running", "cancelled"),
}
ENDS = {"succeeded", "dead", "cancelled", "superseded", "expired"}


@pytest.mark.parametrize(("here", "there"), list(itertools.product(State, State)))
def test_an_execution_moves_as_designed_and_not_otherwise(here: State, there: State) -> None:
    if (here.value, there.value) in ALLOWED:
        check_move("run-1", here, there)
    else:
        with pytest.raises(MoveRefusedError, match=f"run-1 is {here} and cannot become {there}"):
            check_move("run-1", here, there)


def test_a_refused_move_says_what_is_allowed() -> None:
    with pytest.raises(MoveRefusedError, match="cancelled, expired, leased, superseded"):
        check_move("run-1", State.PENDING, State.SUCCEEDED)
    with pytest.raises(MoveRefusedError, match="it has ended"):
        check_move("run-1", State.DEAD, State.PENDING)


def test_what_has_ended_has_ended_for_good() -> None:
    assert {state.value for state in State if state.is_terminal} == ENDS
    assert {state.value for state in LIVE} == {"pending", "leased", "submitted", "running"}


def test_what_a_backend_may_hold_something_of_counts_as_in_flight() -> None:
    assert {state.value for state in IN_FLIGHT} == {"leased", "submitted", "running"}
