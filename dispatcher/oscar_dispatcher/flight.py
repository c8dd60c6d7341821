"""What is in flight: every attempt this scheduler has leased and whose end it has not yet heard of.

In:  attempts added by the scheduler, landed by whoever learns of their end. Out: exact counts.
Not here: the truth (the ledger); this is the holder's memory of it, rebuilt when the role is taken.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from oscar_events import metrics


@dataclass(slots=True)
class Attempt:
    """An attempt in flight. revision: of its service, fixed with the first lease.

    event_time: when its event happened, ISO 8601, once its job is built; unknown of one taken over from another holder.
    """

    execution: str
    number: int
    service_uid: str
    revision: int
    event_time: str | None = None


class Flight:
    """The attempts in flight, by execution: there is never more than one of an execution.

    empty: set while there is none, and none whose landing is still being written down.
    """

    def __init__(self) -> None:
        self._attempts: dict[str, Attempt] = {}
        self._landing: list[str] = []
        self._by_service: Counter[str] = Counter()
        self.empty = asyncio.Event()
        self.empty.set()

    def add(self, attempt: Attempt) -> None:
        """Count the attempt."""
        self._attempts[attempt.execution] = attempt
        self._by_service[attempt.service_uid] += 1
        self._note_size()

    @contextmanager
    def landing(self, attempt: Attempt) -> Iterator[None]:
        """Free the slot of an attempt of which nothing runs any more; the block writes that down."""
        del self._attempts[attempt.execution]
        self._by_service[attempt.service_uid] -= 1
        if not self._by_service[attempt.service_uid]:
            del self._by_service[attempt.service_uid]
        self._landing.append(attempt.execution)
        self._note_size()
        try:
            yield
        finally:
            self._landing.remove(attempt.execution)
            self._note_size()

    def get(self, execution: str, number: int) -> Attempt | None:
        """Return that attempt if it is in flight."""
        attempt = self._attempts.get(execution)
        return attempt if attempt is not None and attempt.number == number else None

    def room(self, concurrency: int) -> int:
        """Return how many more may run, over all services."""
        return concurrency - len(self._attempts)

    def known(self) -> frozenset[str]:
        """Return every execution there is an attempt of, those too whose landing is being written down."""
        return frozenset((*self._attempts, *self._landing))

    def by_service(self) -> dict[str, int]:
        """Return how many run, by service uid."""
        return dict(self._by_service)

    def clear(self) -> None:
        """Forget everything: the role was lost or taken anew."""
        self._attempts.clear()
        self._by_service.clear()
        self._note_size()

    def _note_size(self) -> None:
        metrics.executions_in_flight.set(len(self._attempts))
        if self._attempts or self._landing:
            self.empty.clear()
        else:
            self.empty.set()

    def __contains__(self, execution: str) -> bool:
        return execution in self._attempts or execution in self._landing
