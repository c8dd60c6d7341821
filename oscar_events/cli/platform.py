"""The platform as a command sees it: the one that runs on the data directory, or, when none does, its files.

In:  a data directory. Out: a `Platform`; both kinds answer alike.
Not here: what it answers (manager/control.py), HTTP (client.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, TypeVar

from oscar_events.cli.again import DeadLetters, Quarantine, Replays
from oscar_events.cli.journal import Journal
from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError, InUseError, UnavailableError

T = TypeVar("T")

# A platform that starts writes up.json within a second or two, and another command is through in milliseconds.
PATIENCE_S = 10.0
_LOOK_AGAIN_S = 0.05


class Platform(Protocol):
    """What can be asked; see manager/control.py, which is one."""

    @property
    def deadletters(self) -> DeadLetters: ...
    @property
    def quarantine(self) -> Quarantine: ...
    @property
    def replays(self) -> Replays: ...
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

    create: make the directory if there is none. running: refuse when no platform runs, as then nothing will change.
    Raises ConfigurationError if there is no data directory, UnavailableError, InUseError.
    """
    if not create and not directory.exists():
        raise ConfigurationError(
            f"{directory.path} is no data directory; name one with --data, or start a platform there with "
            f"`oscar-events --data {directory.path} up`"
        )
    async with AsyncExitStack() as stack:
        yield await _open(directory, stack, running)


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
    return laptop_control(ledger, bus, directory, load_config(directory))
