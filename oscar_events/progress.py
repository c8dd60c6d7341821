"""Whether a part that has work gets it done: what `/livez` and `/readyz` are answered from (house rule 8).

In:  a word of the part whenever it got on or found nothing to do; its calls to others who may be away. Out: texts.
Not here: serving them (manager/routes/health.py), what counts as work (each part).

A process is restarted when it is not live. So a part that waits for a ledger or a bus of which it is told that they are
away is live, and not ready: a restart would mend nothing, and end the scripts that run. A call that never answers is
not told to be away, nor is one that was told so and has been silent since: it may hang at what is no more. Not ready is
also who waits for an answer for longer than a few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from oscar_events.errors import UnavailableError
from oscar_events.patience import until_available

T = TypeVar("T")

# House rule 8.
STALLED_S = 30.0
# A change of leader or a database that is restarted is over by then, and a balancer need not hear of it.
AWAY_S = 5.0


@dataclass(frozen=True, slots=True)
class _Outage:
    """since: when the first call began that was told so. told_at: when that was said last."""

    since: float
    told_at: float
    why: str


class Progress:
    """What a part knows of its own going on. doing: what it is there for, like `taking events in`.

    clock: seconds that only grow; of a test its own.
    """

    def __init__(self, doing: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._doing, self._clock = doing, clock
        self._at = clock()
        self._resting = False
        self._away: dict[str, _Outage] = {}
        self._asked: dict[object, tuple[str, float]] = {}
        self._why = ""

    def made(self) -> None:
        """Say that something got done, or that there was nothing to do."""
        self._at, self._why, self._resting = self._clock(), "", False

    def rest(self) -> None:
        """Say that nothing is expected of the part until it says otherwise: the work is another process's."""
        self.made()
        self._resting = True

    def blocked(self, why: str) -> None:
        """Say what is known of why nothing gets done; it counts as no progress."""
        self._why = why

    async def patiently(self, call: Callable[[], Awaitable[T]], doing: str) -> T:
        """Return the call's value as `until_available` does, knowing meanwhile who is away."""

        async def noted() -> T:
            with self.asking(doing):
                return await call()

        try:
            return await until_available(noted, doing)
        finally:
            self.answered(doing)  # also if it was given up: nobody asks any more

    @contextmanager
    def asking(self, doing: str) -> Iterator[None]:
        """Know, while in the context, that an answer is waited for; after an UnavailableError, that somebody is away.

        Until the same is asked again and answered.
        """
        call, began = object(), self._clock()
        self._asked[call] = doing, began
        try:
            yield
        except UnavailableError as error:
            since = self._away[doing].since if doing in self._away else began
            self._away[doing] = _Outage(since, self._clock(), f"{doing}: {error}")
            raise
        finally:
            del self._asked[call]
        self.answered(doing)

    def answered(self, doing: str) -> None:
        """Say that who was asked is there."""
        if self._away.pop(doing, None) is not None:
            self._at = self._clock()  # what could not go on until now is not stalled yet

    @property
    def not_live(self) -> str:
        """Why this process should be started anew, empty if it should not."""
        is_away = any(self._clock() - one.told_at <= STALLED_S for one in self._away.values())
        return "" if is_away else self._stalled()

    @property
    def not_ready(self) -> str:
        """Why the part does not get on, empty if it does."""
        now = self._clock()
        away = (one.why for one in self._away.values() if now - one.since > AWAY_S)
        silent = (
            f"{doing}: no answer for {now - began:.0f} s"
            for doing, began in self._asked.values()
            if now - began > AWAY_S
        )
        return next(away, "") or next(silent, "") or self._stalled()

    def _stalled(self) -> str:
        seconds = self._clock() - self._at
        if self._resting or seconds <= STALLED_S:
            return ""
        why = f": {self._why}" if self._why else ""
        return f"{self._doing} made no progress for {seconds:.0f} s{why}"
