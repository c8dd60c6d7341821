"""The component `dispatcher` of a cluster, composed.

In:  as component.py; the data directory, for jobs and secrets. Out: executions, run to their ends on this host.
Not here: the dispatcher's parts (oscar_dispatcher).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

from starlette.routing import BaseRoute

from oscar_dispatcher.app import Dispatcher
from oscar_dispatcher.backends.local_process import ProcessBackend
from oscar_dispatcher.forgetting import forget_for_ever
from oscar_dispatcher.settings import DispatcherSettings, cores
from oscar_events.bus.port import Bus
from oscar_events.cluster.component import Component, holder_name
from oscar_events.config import PlatformConfig
from oscar_events.datadir import DataDirectory
from oscar_events.ledger.port import Ledger
from oscar_events.lifecycle import Stop
from oscar_events.manager.cluster import cluster_control
from oscar_events.site import site


class ClusterDispatcher(Component):
    """One dispatcher of several: takes events in, and schedules while it holds the role."""

    def __init__(self, directory: DataDirectory, config: PlatformConfig, stop: Stop) -> None:
        super().__init__("dispatcher", config, config.settings.dispatcher, stop)
        self._directory, self._section = directory, config.settings.dispatcher
        self._dispatcher: Dispatcher | None = None

    def routes(self) -> list[BaseRoute]:
        return []

    async def work(self, ledger: Ledger, bus: Bus, stack: AsyncExitStack) -> None:
        section, directory = self._section, self._directory
        concurrency = section.concurrency or cores()
        directory.create_for_jobs()  # not before: one that is refused leaves nothing behind
        backend = await stack.enter_async_context(ProcessBackend(directory.jobs, concurrency))
        settings = DispatcherSettings(concurrency=concurrency, role_ttl=section.role_ttl, holder=holder_name())
        shared = site(ledger, directory, self._config, {}, {})
        self._dispatcher = dispatcher = Dispatcher(bus, ledger, backend, shared, settings)
        control = cluster_control(ledger, bus, directory, self._config)
        await control.forget_secrets()  # of services deleted while runs of them went on
        dispatcher.in_role("replays", control.replays.run)
        dispatcher.in_role("forgetting", lambda: forget_for_ever(ledger, self._config.settings.retention))
        await dispatcher.run()

    async def drain(self) -> None:
        if self._dispatcher is not None:
            await self._dispatcher.drain()

    async def last_answers(self) -> None:
        """Health is asked again."""

    def not_ready(self) -> str:
        return self._dispatcher.not_ready if self._dispatcher is not None else ""

    def not_live(self) -> str:
        return self._dispatcher.not_live if self._dispatcher is not None else ""

    def troubles(self) -> Mapping[str, str]:
        return {}
