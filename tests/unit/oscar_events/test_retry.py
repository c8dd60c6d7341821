"""Who is tried again, when, and who is given up on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.job import FailureClass
from oscar_events.retry import LONGEST_BACKOFF, GiveUp, backoff, next_try
from oscar_events.service import RetrySettings

START = datetime(2026, 1, 1, tzinfo=UTC)
THREE = RetrySettings(max_attempts=3)
USER, RESOURCE = FailureClass.USER, FailureClass.RESOURCE
INFRASTRUCTURE, PERMANENT = FailureClass.INFRASTRUCTURE, FailureClass.PERMANENT


@pytest.mark.parametrize(
    ("failure", "attempts", "hours", "settings", "again"),
    [
        (USER, 1, 0, RetrySettings(), False),  # one attempt is the default: a script that fails stays failed
        (USER, 2, 0, THREE, True),  # unless the service asks for more
        (USER, 3, 0, THREE, False),
        (RESOURCE, 1, 0, RetrySettings(), False),  # the same again would end the same
        (RESOURCE, 2, 0, THREE, True),
        (INFRASTRUCTURE, 1, 0, RetrySettings(), True),  # a lost node is not the user's fault
        (INFRASTRUCTURE, 99, 23, RetrySettings(), True),  # however often
        (INFRASTRUCTURE, 99, 24, RetrySettings(), True),  # to the very end of max_age
        (INFRASTRUCTURE, 99, 25, RetrySettings(), False),  # but not for ever
        (USER, 1, 25, THREE, False),
        (INFRASTRUCTURE, 1, 2, RetrySettings(max_age=timedelta(hours=1)), False),
        (PERMANENT, 1, 0, RetrySettings(max_attempts=9), False),  # the input is gone: no setting brings it back
    ],
)
def test_who_is_tried_again(
    failure: FailureClass, attempts: int, hours: float, settings: RetrySettings, again: bool
) -> None:
    decision = next_try(failure, attempts, START, START + timedelta(hours=hours), settings, jitter=0.5)
    assert isinstance(decision, datetime) is again


@pytest.mark.parametrize(
    ("failure", "hours", "reason"),
    [
        (USER, 0, "attempts made: 3, allowed by the service: 3"),
        (PERMANENT, 0, "trying again would change nothing"),
        (INFRASTRUCTURE, 25, "tried since 2026-01-01 00:00 UTC, longer than 1 day, 0:00:00"),
    ],
)
def test_giving_up_has_a_reason_a_person_understands(failure: FailureClass, hours: float, reason: str) -> None:
    assert next_try(failure, 3, START, START + timedelta(hours=hours), THREE, jitter=0) == GiveUp(reason)


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 20), (0.5, 40), (0.999, 59.96)])
def test_tries_are_spread_around_the_backoff(jitter: float, seconds: float) -> None:
    again = next_try(INFRASTRUCTURE, 3, START, START, RetrySettings(backoff=timedelta(seconds=10)), jitter)
    assert again == START + timedelta(seconds=seconds)


@given(st.timedeltas(timedelta(), timedelta(days=9)), st.integers(1, 10**9))
def test_the_wait_doubles_up_to_an_hour_and_never_overflows(first: timedelta, attempts: int) -> None:
    wait = backoff(first, attempts)
    assert wait <= LONGEST_BACKOFF
    assert backoff(first, attempts + 1) >= wait
    if wait < LONGEST_BACKOFF and attempts < 20:
        assert wait == first * 2 ** (attempts - 1)
