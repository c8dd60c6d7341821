"""How a process of the platform lives and stops: in two phases, and never silently without one of its parts.

In:  named parts (coroutines that run until cancelled), a drain. Out: a clean end, or the fault of the part that died.
Not here: what the parts do.

The first signal asks for the end: what runs is drained, to a deadline. The deadline or a second signal cancels.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from datetime import timedelta
from typing import Any

from oscar_events import metrics
from oscar_events.errors import OscarEventsError
from oscar_events.log import logger

# Short enough for an impatient Ctrl-C, long enough for most scripts; what is cut off is run again at the next start.
DRAIN = timedelta(seconds=10)

# What blocks for a second is seen by half of it at least, and four wake-ups a second cost nothing.
_LAG_EVERY_S = 0.25

_log = logger(__name__)


class PartEndedError(OscarEventsError):
    """A part that should run for ever has ended by itself."""


class Stop:
    """The wish to end. requested: drain and end. urgent: end now."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.urgent = asyncio.Event()

    def request(self) -> None:
        """Ask for the end; asking again makes it urgent."""
        if self.requested.is_set() and not self.urgent.is_set():
            _log.warning("asked a second time: what is under way is cut off")
            self.urgent.set()
        self.requested.set()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as requests while in the context."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self.request)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


async def run_until_stopped(
    parts: Mapping[str, Callable[[], Coroutine[Any, Any, None]]],
    stop: Stop,
    drain: Callable[[], Awaitable[None]],
    deadline: timedelta = DRAIN,
) -> None:
    """Run all parts until the stop is requested, drain, then cancel them and return when all have ended.

    Beside them it measures how late the process gets to what is due. Raises an exception group with what a part raised,
    or PartEndedError if it just ended; the others are cancelled.
    """
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_for_ever(name, part), name=name) for name, part in parts.items()]
        running.append(group.create_task(_measure_lag(), name="event-loop lag"))
        await stop.requested.wait()
        _log.info("stopping: what runs may finish, a second signal cuts it off", deadline_s=deadline.total_seconds())
        if not await _first_of(drain(), stop.urgent.wait(), timeout=deadline.total_seconds()):
            _log.warning("the time is over: what is under way is cut off")
        for task in running:
            task.cancel()
    _log.info("stopped")


async def _measure_lag() -> None:
    """Observe how much later than asked for a sleep ends: what kept the event loop kept health and webhook as well."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_EVERY_S
        await asyncio.sleep(_LAG_EVERY_S)
        metrics.event_loop_lag.observe(max(0.0, loop.time() - due))


async def _for_ever(name: str, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await part()
    raise PartEndedError(f"{name} ended by itself")


async def _first_of(*awaitables: Awaitable[object], timeout: float) -> bool:
    """Wait for one of them; return whether one was done in time."""
    tasks = [asyncio.ensure_future(one) for one in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
