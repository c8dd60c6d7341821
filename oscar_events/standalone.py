"""The whole platform in one process, on one directory: what `oscar-events up` and `demo` run.

In:  a data directory, a port. Out: everything composed and running until it is told to stop.
Not here: any behaviour; this is the laptop's composition root, the one place that knows which parts a laptop has.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import uvicorn
from starlette.applications import Starlette

from oscar_dispatcher.app import Dispatcher
from oscar_dispatcher.backends.local_process import ProcessBackend
from oscar_dispatcher.jobs import Site
from oscar_dispatcher.settings import DispatcherSettings, cores
from oscar_events.bus.sqlite import SqliteBus
from oscar_events.datadir import LOCAL_PROVIDER, DataDirectory
from oscar_events.errors import ConfigurationError
from oscar_events.ledger.store import Ledger
from oscar_events.lifecycle import DRAIN, Stop, run_until_stopped
from oscar_events.manager.app import front
from oscar_events.manager.laptop import LAPTOP_ALIASES, laptop_control
from oscar_events.secrets import SecretStore
from oscar_ingest.app import Ingest, IngestSettings
from oscar_ingest.catalogue import LedgerCatalogue

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class StandaloneSettings:
    """What differs from laptop to laptop. reconcile_every: between two listings of the buckets (design §3.9)."""

    port: int = 0
    concurrency: int = field(default_factory=cores)
    reconcile_every: timedelta = timedelta(seconds=30)
    drain: timedelta = DRAIN


class Standalone:
    """A platform on a directory. `run` it once."""

    def __init__(self, directory: DataDirectory, settings: StandaloneSettings, stop: Stop) -> None:
        self._directory, self._settings, self._stop = directory, settings, stop

    async def run(self, listening: Callable[[int], None]) -> None:
        """Run until the stop is requested. listening: called with the port once it takes connections.

        Raises InUseError if another process holds the directory, ConfigurationError if directory or port cannot be
        used; an exception group if a part fails while running.
        """
        directory, settings = self._directory, self._settings
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(directory.lock())
            # What a killed attempt left there is nobody's: a worker of it that still lives publishes nothing more.
            await asyncio.to_thread(directory.empty_staging)
            listener = stack.enter_context(_listen(settings.port))
            ledger = await stack.enter_async_context(Ledger(directory.ledger_db))
            bus = await stack.enter_async_context(SqliteBus(directory.log_db))
            backend = await stack.enter_async_context(ProcessBackend(directory.jobs, settings.concurrency))
            dispatcher = Dispatcher(bus, ledger, backend, _site(ledger, directory), _dispatching(settings))
            ingest = Ingest(
                bus,
                LedgerCatalogue(ledger),
                IngestSettings(directory.buckets, settings.reconcile_every, aliases=LAPTOP_ALIASES),
            )
            token = secrets.token_urlsafe(32)
            control = laptop_control(ledger, directory, wake=dispatcher.wake, log_of_running=backend.log)

            def not_ready() -> dict[str, str]:
                waiting = {
                    "dispatcher": dispatcher.not_ready,
                    "ingest": "" if ingest.ready.is_set() else "the first listing of the buckets is under way",
                }
                return {part: reason for part, reason in waiting.items() if reason}

            server = _Server(front(control, token, not_ready))
            port = listener.getsockname()[1]
            directory.write_up(port, token)
            listening(port)
            await run_until_stopped(
                {
                    "dispatcher": dispatcher.run,
                    "ingest": ingest.run,
                    "front": lambda: server.serve(sockets=[listener]),
                },
                self._stop,
                dispatcher.drain,
                settings.drain,
            )


class _Server(uvicorn.Server):
    """uvicorn inside a platform whose signals belong to the platform, and which ends by being cancelled."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(uvicorn.Config(app, lifespan="off", access_log=False, log_config=None))

    @contextmanager
    def capture_signals(self) -> Any:
        yield

    async def main_loop(self) -> None:
        try:
            await super().main_loop()
        finally:
            for server in self.servers:  # uvicorn closes them only when it ends by itself
                server.close()


def _site(ledger: Ledger, directory: DataDirectory) -> Site:
    local = {"type": "local", "root": str(directory.buckets), "staging": str(directory.staging)}
    return Site(ledger.instance, {LOCAL_PROVIDER: local}, LAPTOP_ALIASES, SecretStore(directory.path / "secrets").get)


def _dispatching(settings: StandaloneSettings) -> DispatcherSettings:
    # Whoever holds the directory's lock knows that no other scheduler lives: no epoch's end is waited for (design §5).
    return DispatcherSettings(concurrency=settings.concurrency, holder=secrets.token_hex(8), role_at_once=True)


def _listen(port: int) -> socket.socket:
    """Return a socket on the loopback address; port 0 takes a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {HOST}:{port}: {error.strerror}; name another port, or 0 for a free one"
        ) from error
    return listener
