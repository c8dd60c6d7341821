"""Decides when a failed attempt is tried again.

In:  the failure's class, the attempts made so far, the service's retry settings, the time of the first submit.
Out: the time of the next try, or the reason why there is none.
Not here: writing it down (ledger/ends.py), what counts as which class (the supervisor's report), the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from oscar_events.job import FailureClass
from oscar_events.service import RetrySettings

# A day (the default max_age) then still holds 24 tries, and an outage of a night is over within the hour of its end.
LONGEST_BACKOFF = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class GiveUp:
    """There is no next try. reason: ends a sentence that begins with what went wrong."""

    reason: str


def next_try(
    failure: FailureClass,
    attempts: int,
    first_submit: datetime,
    now: datetime,
    settings: RetrySettings,
    jitter: float,
) -> datetime | GiveUp:
    """Return when to try again, or why not to.

    attempts: ended so far, this one included. jitter: a number in [0, 1) from the caller, so that the function stays
    pure and a test can pin it.
    """
    if failure is FailureClass.PERMANENT:
        return GiveUp("trying again would change nothing")
    if failure is not FailureClass.INFRASTRUCTURE and attempts >= settings.max_attempts:
        return GiveUp(f"attempts made: {attempts}, allowed by the service: {settings.max_attempts}")
    if now - first_submit > settings.max_age:
        return GiveUp(f"tried since {first_submit:%Y-%m-%d %H:%M} UTC, longer than {settings.max_age}")
    return now + backoff(settings.backoff, attempts) * (0.5 + jitter)


def backoff(first: timedelta, attempts: int) -> timedelta:
    """Return the wait after so many attempts: doubled each time, LONGEST_BACKOFF at most."""
    # 2^20 is beyond any cap; without the bound a long-lived execution would overflow timedelta.
    doublings: int = 2 ** min(attempts - 1, 20)
    return min(first * doublings, LONGEST_BACKOFF)
