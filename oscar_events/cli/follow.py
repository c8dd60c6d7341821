"""All runs as they happen: on a cluster their ends, as the broker tells them; on a laptop every move, by looking.

In:  a data directory. Out: runs, as soon as they are known to have moved.
Not here: printing them (runs.py), one run alone (runs.py), the subscriber on the broker (bus/kafka_feed.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

from oscar_events.cli.listing import Watch
from oscar_events.cli.platform import Platform, open_platform
from oscar_events.datadir import DataDirectory

# Two looks a second: a person sees no delay, the platform no load (a look is a few milliseconds).
LOOK_S = 0.5


class RunFeed(Protocol):
    """Tells of runs that moved since it was opened."""

    async def moved(self) -> list[dict[str, Any]]:
        """Wait until there is something to tell; return it, oldest first."""


class PolledRuns:
    """Every move of every run, by looking again and again. What moves twice between two looks is told once."""

    def __init__(self, platform: Platform) -> None:
        self._watch = Watch(platform)
        self._wait = 0.0

    async def moved(self) -> list[dict[str, Any]]:
        """Wait for runs to move; at first, those that are live."""
        while True:
            await asyncio.sleep(self._wait)
            self._wait = LOOK_S
            if changed := await self._watch.changes():
                return changed


async def moves(directory: DataDirectory, service: str | None) -> AsyncIterator[dict[str, Any]]:
    """Yield runs for ever; service: only of this one. Raises what opening platform or broker raises."""
    async with AsyncExitStack() as stack:
        feed = await _feed(directory, stack)
        while True:
            for run in await feed.moved():
                if service in (None, run["service"]):
                    yield run


async def _feed(directory: DataDirectory, stack: AsyncExitStack) -> RunFeed:
    from oscar_events.config import load_config

    config = load_config(directory)
    if not config.settings.is_cluster:
        return PolledRuns(await stack.enter_async_context(open_platform(directory, running=True)))
    from oscar_events.cli.broker import broker_settings

    settings = broker_settings(config)
    from oscar_events.bus.kafka_feed import KafkaRunFeed

    return await stack.enter_async_context(KafkaRunFeed(settings))
