"""Whatever fails, in whatever order: every event ends in one run, and what a run did is told."""

from __future__ import annotations

from hypothesis import settings

from tests.statemachine.dispatching import Dispatching

TestDispatching = Dispatching.TestCase
# Each example lives minutes of virtual time, and a sixth of a second of ours.
TestDispatching.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
