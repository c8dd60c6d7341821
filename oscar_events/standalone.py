"""The whole platform in one process, on one directory: what `oscar-events up` and `demo` run.

In:  a data directory, a port. Out: everything composed and running until it is told to stop.
Not here: any behaviour; this is the laptop's composition root, the one place that knows which parts a laptop has.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, contextmanager, suppress
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
from oscar_events.config import PlatformConfig, load_config
from oscar_events.datadir import LOCAL_PROVIDER, DataDirectory
from oscar_events.errors import ConfigurationError
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.lifecycle import DRAIN, Stop, run_until_stopped
from oscar_events.manager.app import front
from oscar_events.manager.gauges import Gauges
from oscar_events.manager.laptop import laptop_aliases, laptop_control
from oscar_events.secrets import SecretStore, is_secret, reference
from oscar_ingest.app import Ingest, IngestSettings
from oscar_ingest.catalogue import LedgerCatalogue
from oscar_ingest.sources.configured import ConfiguredSources
from oscar_ingest.sources.webhook import Webhook

HOST = "127.0.0.1"

# Longer than the 90 s after which Go's clients, MinIO's among them, close an idle connection: a server that closes it
# may do so just when a notification is sent, and MinIO does not send that again.
_KEEP_ALIVE_S = 120
# For the answers that are under way when the platform stops: the bus commits within milliseconds.
_LAST_ANSWERS_S = 1.0


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
            config = load_config(directory)
            sources = ConfiguredSources(directory, config)
            ledger = await stack.enter_async_context(SqliteLedger(directory.ledger_db))
            bus = await stack.enter_async_context(SqliteBus(directory.log_db))
            backend = await stack.enter_async_context(ProcessBackend(directory.jobs, settings.concurrency))
            dispatcher = Dispatcher(bus, ledger, backend, _site(ledger, directory, config), _dispatching(settings))
            ingest = Ingest(
                bus,
                LedgerCatalogue(ledger),
                IngestSettings(directory.buckets, settings.reconcile_every, aliases=laptop_aliases(config)),
            )
            token = secrets.token_urlsafe(32)
            control = laptop_control(
                ledger, bus, directory, config, wake=dispatcher.wake, log_of_running=backend.log, is_running=True
            )
            await control.forget_secrets()  # of services deleted while runs of them went on

            def not_ready() -> dict[str, str]:
                waiting = {
                    "dispatcher": dispatcher.not_ready,
                    "ingest": "" if ingest.ready.is_set() else "the first listing of the buckets is under way",
                }
                return {part: reason for part, reason in waiting.items() if reason}

            webhook = Webhook(bus, sources)

            def troubles() -> dict[str, str]:
                sources.refresh()
                found = {
                    "config.yaml": sources.problem,
                    "storage_providers": sources.waiting,
                    "sources": webhook.trouble,
                }
                return {part: trouble for part, trouble in found.items() if trouble}

            gauges = Gauges(ledger, bus)
            server = _Server(
                front(control, token, not_ready, webhook.routes(), troubles=troubles, gauge=gauges.refresh)
            )
            port = listener.getsockname()[1]
            directory.write_up(port, token)
            listening(port)
            await run_until_stopped(
                {
                    "dispatcher": dispatcher.run,
                    "ingest": ingest.run,
                    "replays": control.replays.run,
                    "front": lambda: _serve(server, listener, webhook),
                    "configuration": sources.watch,
                },
                self._stop,
                dispatcher.drain,
                settings.drain,
            )


class _Server(uvicorn.Server):
    """uvicorn inside a platform whose signals belong to the platform, and which ends by being cancelled."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(app, lifespan="off", access_log=False, log_config=None, timeout_keep_alive=_KEEP_ALIVE_S)
        )

    @contextmanager
    def capture_signals(self) -> Any:
        yield

    async def main_loop(self) -> None:
        try:
            await super().main_loop()
        finally:
            for server in self.servers:  # uvicorn closes them only when it ends by itself
                server.close()


async def _serve(server: _Server, listener: socket.socket, webhook: Webhook) -> None:
    """Serve until cancelled; senders whose events are on their way to the bus then still get their answer."""
    try:
        await server.serve(sockets=[listener])
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ANSWERS_S):
                await webhook.close()


def _site(ledger: Ledger, directory: DataDirectory, config: PlatformConfig) -> Site:
    storage: dict[str, dict[str, Any]] = {
        LOCAL_PROVIDER: {"type": "local", "root": str(directory.buckets), "staging": str(directory.staging)}
    }
    # The platform's own credentials stay in memory; jobs name them as they name those of services.
    own: dict[str, str] = {}
    for provider in config.providers():
        settings = config.provider(provider) or {}
        named = {f"{provider}.{name}": value for name, value in settings.items() if is_secret(name, value)}
        own |= named
        storage[provider] = settings | {name.removeprefix(f"{provider}."): reference(name) for name in named}
    kept = SecretStore(directory.secrets)
    return Site(
        ledger.instance,
        storage,
        laptop_aliases(config),
        reveal=lambda identity: own[identity] if identity in own else kept.get(identity),
    )


def _dispatching(settings: StandaloneSettings) -> DispatcherSettings:
    # Whoever holds the directory's lock knows that no other scheduler lives: no epoch's end is waited for (design §5).
    return DispatcherSettings(concurrency=settings.concurrency, holder=secrets.token_hex(8), role_at_once=True)


def _listen(port: int) -> socket.socket:
    """Return a socket on the loopback address; port 0 takes a free one."""
    # asyncio turns Nagle's algorithm off for sockets that say they are TCP, and for no others: without it a sender that
    # keeps its connection waits 40 ms for each answer, as head and body are written one after the other.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
