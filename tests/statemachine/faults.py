"""Faults of calls: any call of a port can fail before it is done, or after.

In:  a double of a port, which call of it is to fail, and how. Out: the error that the port documents.
Not here: deciding when (dispatching.py), the doubles (faulty.py, host.py).

"Done, but the answer was lost" is the fault that a database's failover and a broker's time-out have in common: whoever
asked knows nothing, and asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

from oscar_events.errors import UnavailableError


class Fault(Enum):
    """How a call fails."""

    NOT_DONE = "not done"
    ANSWER_LOST = "done, but the answer was lost"


class Faults:
    """The faults to come, one for each call, None = no fault; and until when, by the event loop's time, all fail."""

    def __init__(self) -> None:
        self.coming: list[Fault | None] = []
        self._always, self._until = Fault.NOT_DONE, 0.0

    def all_fail(self, how: Fault, until: float) -> None:
        """Have every call fail for a time."""
        self._always, self._until = how, until

    def next(self) -> Fault | None:
        """Return what happens to this call."""
        if asyncio.get_running_loop().time() < self._until:
            return self._always
        return self.coming.pop(0) if self.coming else None

    def heal(self) -> None:
        """Have nothing fail any more."""
        self.coming.clear()
        self._until = 0.0


class Calls:
    """The calls of a port by name, with the faults of each. error: what the port says when it does not answer."""

    def __init__(self, error: type[UnavailableError], names: Iterable[str]) -> None:
        self._error = error
        self._faults = {name: Faults() for name in names}

    def __getitem__(self, name: str) -> Faults:
        return self._faults[name]

    def failed(self, how: Fault) -> UnavailableError:
        """Return the error to raise."""
        return self._error(f"{how.value}, as asked for by the test")

    async def make(self, name: str, call: Callable[..., Awaitable[Any]], *arguments: Any, **more: Any) -> Any:
        """Return what the call returns, unless it is to fail."""
        fault = self[name].next()
        if fault is Fault.NOT_DONE:
            raise self.failed(fault)
        value = await call(*arguments, **more)
        if fault is Fault.ANSWER_LOST:
            raise self.failed(fault)
        return value

    def heal(self) -> None:
        """Have nothing fail any more."""
        for faults in self._faults.values():
            faults.heal()


def calls_of(port: type) -> frozenset[str]:
    """Return the names of what a port can be asked, and may not answer."""
    return frozenset(
        name for name, call in vars(port).items() if iscoroutinefunction(call) and not name.startswith("_")
    )


def let_fail(double: object, names: Iterable[str], calls: Calls) -> None:
    """Have these calls of a double fail as the faults of each say."""
    for name in names:
        setattr(double, name, partial(calls.make, name, getattr(double, name)))
