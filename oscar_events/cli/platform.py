"""The platform as a command sees it: a cluster's broker and database; on a laptop the platform that runs on the data
directory, or, when none does, its files.

In:  a data directory. Out: a `Platform`; all kinds answer alike.
Not here: what it answers (manager/control.py), HTTP (client.py).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from oscar_events.cli.again import Backfills, DeadLetters, Quarantine, Replays
from oscar_events.cli.journal import Journal
from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError, InUseError, UnavailableError

if TYPE_CHECKING:
    from oscar_events.config import PlatformConfig
    from oscar_events.manager.backfill import Listing, Listings

T = TypeVar("T")

# A platform that starts writes up.json within a second or two, and another command is through in milliseconds.
PATIENCE_S = 10.0
_LOOK_AGAIN_S = 0.05
_OF_CLUSTERS = ("OSCAR_EVENTS_KAFKA__", "OSCAR_EVENTS_LEDGER__")


class Platform(Protocol):
    """What can be asked; see manager/control.py, which is one."""

    @property
    def deadletters(self) -> DeadLetters: ...
    @property
    def quarantine(self) -> Quarantine: ...
    @property
    def replays(self) -> Replays: ...
    @property
    def backfills(self) -> Backfills: ...
    @property
    def journal(self) -> Journal: ...
    async def apply(
        self, documents: Sequence[Mapping[str, Any]], remarks: Mapping[str, Sequence[str]] | None = None
    ) -> list[dict[str, Any]]: ...
    async def services(self) -> list[dict[str, Any]]: ...
    async def service(self, name: str) -> dict[str, Any]: ...
    async def delete_service(self, name: str, *, kill: bool = False) -> dict[str, Any]: ...
    async def runs(
        self,
        *,
        service: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[dict[str, Any]]: ...
    async def run(self, run: str) -> dict[str, Any]: ...
    async def cancel(self, run: str) -> dict[str, Any]: ...
    async def log(self, run: str, attempt: int | None = None) -> bytes: ...


def ask(
    directory: DataDirectory,
    question: Callable[[Platform], Awaitable[T]],
    *,
    create: bool = False,
    running: bool = False,
) -> T:
    """Open the platform, put the question, return its answer. create, running: as for `open_platform`."""

    async def asking() -> T:
        async with open_platform(directory, create=create, running=running) as platform:
            return await question(platform)

    return asyncio.run(asking())


@asynccontextmanager
async def open_platform(
    directory: DataDirectory, *, create: bool = False, running: bool = False
) -> AsyncIterator[Platform]:
    """Yield the platform on this directory: through its front if it runs, else its files, locked meanwhile.

    Where the configuration names broker and database, these are opened: they are there whatever runs.

    create: make the directory if there is none. running: refuse when no platform runs, as then nothing will change.
    Raises ConfigurationError if there is no data directory, UnavailableError, InUseError.
    """
    if _may_name_cluster(directory):
        from oscar_events.config import load_config

        config = load_config(directory)
        if config.settings.is_cluster:
            async with AsyncExitStack() as stack:
                yield await _cluster(directory, config, stack)
            return
    if not create and not directory.exists():
        raise ConfigurationError(
            f"{directory.path} is no data directory; name one with --data, or start a platform there with "
            f"`oscar-events --data {directory.path} up`"
        )
    async with AsyncExitStack() as stack:
        yield await _open(directory, stack, running)


def _may_name_cluster(directory: DataDirectory) -> bool:
    """Whether it is worth reading the configuration, which takes longer than a laptop's whole command."""
    if any(name.startswith(_OF_CLUSTERS) for name in os.environ):
        return True
    try:
        text = directory.config.read_bytes()
    except OSError:
        return directory.config_is_named
    return b"kafka" in text or b"ledger" in text


async def _cluster(directory: DataDirectory, config: PlatformConfig, stack: AsyncExitStack) -> Platform:
    from oscar_events.bus.late import LateBus
    from oscar_events.cli.broker import quiet_client
    from oscar_events.manager.cluster import cluster_bus, cluster_control, cluster_ledger, required

    quiet_client()
    kafka, database = required(config)
    ledger = await stack.enter_async_context(cluster_ledger(database))
    bus = await stack.enter_async_context(LateBus(lambda: cluster_bus(kafka)))
    return cluster_control(ledger, bus, directory, config, _listings(config))


async def _open(directory: DataDirectory, stack: AsyncExitStack, running: bool) -> Platform:
    clock = asyncio.get_running_loop().time
    deadline = clock() + PATIENCE_S
    while True:
        try:
            await stack.enter_async_context(directory.lock(patience_s=0))
        except InUseError:
            if front := await _front(directory):
                return front
            if clock() >= deadline:
                raise
            await asyncio.sleep(_LOOK_AGAIN_S)
        else:
            return await _files(directory, stack, running)


async def _front(directory: DataDirectory) -> Platform | None:
    """Return the front of the process that holds the directory; None if it has none, or none yet."""
    from oscar_events.cli.client import FrontClient

    up = directory.read_up()
    if up is None:
        return None
    front = FrontClient(up)
    return front if await front.is_there() else None


async def _files(directory: DataDirectory, stack: AsyncExitStack, running: bool) -> Platform:
    if running:
        raise UnavailableError(
            f"no platform runs on {directory.path}, so nothing will change; start it with "
            f"`oscar-events --data {directory.path} up`"
        )
    # Late, as they bring SQLAlchemy and pydantic: a command that goes through the front needs neither.
    from oscar_events.bus.sqlite import SqliteBus
    from oscar_events.config import load_config
    from oscar_events.ledger.sqlite import SqliteLedger
    from oscar_events.manager.laptop import laptop_control

    ledger = await stack.enter_async_context(SqliteLedger(directory.ledger_db))
    bus = await stack.enter_async_context(SqliteBus(directory.log_db))
    config = load_config(directory)
    return laptop_control(ledger, bus, directory, config, listings=_listings(config, directory.buckets))


def _listings(config: PlatformConfig, buckets: Path | None = None) -> Listings:
    """Return what makes the listings of these stores. buckets: the directory of a laptop's own."""

    def make() -> Sequence[Listing]:
        from oscar_ingest.listings.configured import listers

        return listers(config, buckets)

    return make
