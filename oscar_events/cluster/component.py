"""What every component of a cluster has: broker and database, a front for health, an end in two phases.

In:  the configuration in force, a wish to stop. Out: a running component, told what its connections are once open.
Not here: what a component does (ingest.py, dispatcher.py).

A broker or database that is away is waited for, and /readyz says so; what only somebody can mend ends the process.
"""

from __future__ import annotations

import gc
import os
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TypeVar

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from oscar_events.bus.port import Bus
from oscar_events.config import PlatformConfig
from oscar_events.errors import UnavailableError
from oscar_events.ledger.port import Ledger
from oscar_events.lifecycle import Stop, run_until_stopped
from oscar_events.manager.cluster import cluster_bus, cluster_ledger, require_safe_topics, required
from oscar_events.manager.gauges import Gauges
from oscar_events.manager.routes import health
from oscar_events.manager.server import Server, listen, serve
from oscar_events.patience import until_available
from oscar_events.settings import DispatcherSection, IngestSection, listen_address

T = TypeVar("T")
Section = IngestSection | DispatcherSection
# Called with `host:port` when connections are taken there, and what can be checked was.
Listening = Callable[[str], None]


class Component(ABC):
    """What both components have: connections that are waited for, a front, an end in two phases.

    settings: its section of config.yaml.
    """

    def __init__(self, name: str, config: PlatformConfig, settings: Section, stop: Stop) -> None:
        self._name, self._config, self._settings, self._stop = name, config, settings, stop
        self._kafka, self._database = required(config)
        self._waiting_for = "it is starting"
        self._gauges: Gauges | None = None
        self._say_listening: Callable[[], None] | None = None

    async def run(self, listening: Listening) -> None:
        """Run until the stop is requested.

        Raises ConfigurationError for what only somebody can mend (wrong password, missing or unsafe topics, a ledger of
        another version, an address that is taken), alone or in an exception group; in one whatever a part fails with.
        """
        host, port = listen_address(self._settings.listen)
        with listen(host, port) as listener:
            routes = [*self.routes(), *health.routes(self._reasons, self.troubles, self._refresh, self._stalled)]
            server = Server(Starlette(routes=routes))
            self._say_listening = lambda: listening(f"{host}:{listener.getsockname()[1]}")
            await run_until_stopped(
                {self._name: self._component, "front": lambda: serve(server, listener, self.last_answers)},
                self._stop,
                self.drain,
                self._settings.drain,
            )

    @abstractmethod
    def routes(self) -> list[BaseRoute]:
        """Return what it answers beside health and metrics, from its start on."""

    @abstractmethod
    async def work(self, ledger: Ledger, bus: Bus, stack: AsyncExitStack) -> None:
        """Do its work, with what it opens on the stack, until cancelled."""

    @abstractmethod
    async def drain(self) -> None:
        """Take nothing more, and wait until what was taken is done with."""

    @abstractmethod
    async def last_answers(self) -> None:
        """Wait until every request under way is answered."""

    @abstractmethod
    def not_ready(self) -> str:
        """Return why it cannot work although its connections are open; empty if it can."""

    def not_live(self) -> str:
        """Return why the process should be started anew: what has to be done does not get done; empty if it does."""
        return ""

    @abstractmethod
    def troubles(self) -> Mapping[str, str]:
        """Return what somebody has to mend although it works."""

    async def _component(self) -> None:
        async with AsyncExitStack() as stack:
            database = cluster_ledger(self._database)
            ledger = await self._opened("the database", lambda: stack.enter_async_context(database))
            await self._opened("the broker", lambda: require_safe_topics(self._kafka))
            bus = await self._opened("the broker", lambda: stack.enter_async_context(cluster_bus(self._kafka)))
            self._gauges = Gauges(ledger, bus)
            self._waiting_for = ""
            self._listens()
            gc.collect()
            gc.freeze()  # what is loaded stays: each look through all of it stopped answers for tens of milliseconds
            await self.work(ledger, bus, stack)

    async def _opened(self, what: str, opened: Callable[[], Awaitable[T]]) -> T:
        async def opening() -> T:
            try:
                return await opened()
            except UnavailableError as error:
                self._waiting_for = f"waiting for {what}: {error}"
                self._listens()
                raise

        self._waiting_for = f"waiting for {what}"
        return await until_available(opening, f"opening {what}")

    def _listens(self) -> None:
        """Say once where it listens: not before it is known that nothing is wrong, or that it has to be waited for."""
        say, self._say_listening = self._say_listening, None
        if say is not None:
            say()

    def _reasons(self) -> Mapping[str, str]:
        stopping = "it is stopping" if self._stop.requested.is_set() else ""
        reason = stopping or self._waiting_for or self.not_ready()
        return {self._name: reason} if reason else {}

    def _stalled(self) -> Mapping[str, str]:
        reason = self.not_live()
        return {self._name: reason} if reason else {}

    async def _refresh(self) -> None:
        if self._gauges is not None:
            await self._gauges.refresh()


def holder_name() -> str:
    """Return a name that no other process has, and that tells people which one it is."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
