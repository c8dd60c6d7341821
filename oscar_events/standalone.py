"""The whole platform in one process, on one directory: what `oscar-events up` and `demo` run.

In:  a data directory, a port. Out: everything composed and running until it is told to stop.
Not here: any behaviour; this is the laptop's composition root, the one place that knows which parts a laptop has.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

from oscar_dispatcher.app import Dispatcher
from oscar_dispatcher.backends.local_process import ProcessBackend
from oscar_dispatcher.forgetting import forget_for_ever
from oscar_dispatcher.settings import DispatcherSettings, cores
from oscar_events.bus.sqlite import SqliteBus
from oscar_events.config import load_config
from oscar_events.datadir import LOCAL_PROVIDER, DataDirectory
from oscar_events.errors import ConfigurationError
from oscar_events.feeds import feeds
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.lifecycle import DRAIN, Stop, run_until_stopped
from oscar_events.manager.app import front
from oscar_events.manager.gauges import Gauges
from oscar_events.manager.laptop import laptop_aliases, laptop_control
from oscar_events.manager.server import Server, listen, serve
from oscar_events.manager.undefined_providers import warn_of_undefined_providers
from oscar_events.settings import ReconcileSettings
from oscar_events.site import site
from oscar_ingest.app import Ingest, IngestSettings
from oscar_ingest.catalogue import LedgerCatalogue
from oscar_ingest.listings.configured import listers
from oscar_ingest.sources.configured import ConfiguredSources
from oscar_ingest.sources.webhook import Webhook

HOST = "127.0.0.1"
# Folders are cheap to list: 100,000 files cost 2.3 s of a core (23 µs each, measured).
_RECONCILE_EVERY = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class StandaloneSettings:
    """What differs from laptop to laptop; None is what config.yaml says, else the default.

    concurrency: the cores by default. reconcile_every: between two listings of the buckets (design §3.9).
    """

    port: int = 0
    concurrency: int | None = None
    reconcile_every: timedelta | None = None
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
        config = load_config(directory)
        if config.settings.is_cluster:
            raise ConfigurationError(
                f"{directory.config} or variables name a broker and a database: start `oscar-events ingest` and "
                "`oscar-events dispatcher`; for a laptop's platform take the settings `kafka` and `ledger` out"
            )
        concurrency = settings.concurrency or config.settings.dispatcher.concurrency or cores()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(directory.lock())
            # What a killed attempt left there is nobody's: a worker of it that still lives publishes nothing more.
            await asyncio.to_thread(directory.empty_staging)
            listener = stack.enter_context(listen(HOST, settings.port))
            sources = ConfiguredSources(directory, config)
            warn_of_undefined_providers(config, laptop_aliases(config))
            ledger = await stack.enter_async_context(SqliteLedger(directory.ledger_db))
            bus = await stack.enter_async_context(SqliteBus(directory.log_db))
            backend = await stack.enter_async_context(ProcessBackend(directory.jobs, concurrency))
            local = {
                LOCAL_PROVIDER: {"type": "local", "root": str(directory.buckets), "staging": str(directory.staging)}
            }
            shared = site(ledger, directory, config, local, laptop_aliases(config))
            dispatcher = Dispatcher(bus, ledger, backend, shared, _dispatching(concurrency))
            fed = feeds(bus, ledger, config, laptop_aliases(config), listed=False)
            ingest = Ingest(
                bus,
                LedgerCatalogue(ledger),
                IngestSettings(
                    directory.buckets,
                    _reconcile_every(settings, config.settings.reconcile),
                    config.settings.retention.tombstones,
                    aliases=laptop_aliases(config),
                ),
                sources=fed.sources,
                listers=fed.listers,
            )
            token = secrets.token_urlsafe(32)
            control = laptop_control(
                ledger,
                bus,
                directory,
                config,
                wake=dispatcher.wake,
                log_of_running=backend.log,
                is_running=True,
                listings=lambda: listers(config, directory.buckets),
            )
            await control.forget_secrets()  # of services deleted while runs of them went on
            dispatcher.in_role("forgetting", lambda: forget_for_ever(ledger, config.settings.retention))

            def not_ready() -> dict[str, str]:
                waiting = {
                    "dispatcher": dispatcher.not_ready,
                    "ingest": "" if ingest.ready.is_set() else "the first listing of the buckets is under way",
                }
                return {part: reason for part, reason in waiting.items() if reason}

            def stalled() -> dict[str, str]:
                parts = {"dispatcher": dispatcher.not_live, "ingest": ingest.not_live}
                return {part: reason for part, reason in parts.items() if reason}

            webhook = Webhook(bus, sources)

            def troubles() -> dict[str, str]:
                sources.refresh()
                found = fed.troubles() | {
                    "config.yaml": sources.problem,
                    "storage_providers": sources.waiting,
                    "sources": webhook.trouble,
                    "buckets": ingest.not_listed,
                    "publishing": ingest.not_publishing,
                }
                return {part: trouble for part, trouble in found.items() if trouble}

            gauges = Gauges(ledger, bus)
            routes = webhook.routes()
            server = Server(
                front(control, token, not_ready, routes, troubles=troubles, gauge=gauges.refresh, stalled=stalled)
            )
            port = listener.getsockname()[1]
            directory.write_up(port, token)
            listening(port)
            await run_until_stopped(
                {
                    "dispatcher": dispatcher.run,
                    "ingest": ingest.run,
                    "replays": control.replays.run,
                    "front": lambda: serve(server, listener, webhook.close),
                    "configuration": sources.watch,
                },
                self._stop,
                dispatcher.drain,
                settings.drain,
            )


def _reconcile_every(settings: StandaloneSettings, configured: ReconcileSettings) -> timedelta:
    default = configured.every if "every" in configured.model_fields_set else _RECONCILE_EVERY
    return settings.reconcile_every or default


def _dispatching(concurrency: int) -> DispatcherSettings:
    # Whoever holds the directory's lock knows that no other scheduler lives: no epoch's end is waited for (design §5).
    return DispatcherSettings(concurrency=concurrency, holder=secrets.token_hex(8), role_at_once=True)
