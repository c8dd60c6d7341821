"""Whatever fails, in whatever order: every event ends in one run, and what a run did is told."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.statemachine.dispatching import Dispatching

TestDispatching = Dispatching.TestCase
# Each example lives minutes of virtual time, and a sixth of a second of ours.
TestDispatching.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("dies_at", [5.0, 5.4, 5.9])
def test_a_standby_takes_over_from_who_was_killed_within_ten_seconds_as_it_is_set(dies_at: float) -> None:
    platform = Dispatching()
    try:
        platform.time_passes(1)
        platform.a_dispatcher_starts(1)
        platform.time_passes(dies_at)
        platform.a_dispatcher_is_killed(0, scripts_live_on=False)
        standby = platform.processes[1]
        assert standby is not None
        assert platform.role().holder != standby.holder
        platform.time_passes(10)
        assert platform.role().holder == standby.holder
    finally:
        platform.teardown()
