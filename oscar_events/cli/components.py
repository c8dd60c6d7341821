"""The commands `ingest` and `dispatcher`: one component of a cluster each, in the foreground.

In:  the configuration in force. Out: a running component, until Ctrl-C or SIGTERM.
Not here: what they consist of (oscar_events/cluster/), a laptop's platform (up.py).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from oscar_events.cli.options import Data, data_directory

if TYPE_CHECKING:
    from oscar_events.cluster.component import Component
    from oscar_events.config import PlatformConfig
    from oscar_events.datadir import DataDirectory
    from oscar_events.lifecycle import Stop


def ingest(context: typer.Context, data: Data = None) -> None:
    """Run one ingest of a cluster in the foreground: it takes events in, and lists what no event told of.

    Any number may run. It is ready when /readyz answers 200; broker and database are waited for. Ctrl-C or SIGTERM
    lets requests under way finish, a second one does not. Ends with 0 when told to stop, with 2 for what only somebody
    can mend: a wrong password, missing topics, a ledger of another version.
    """
    directory, config = _configuration(context)

    def component(stop: Stop) -> Component:
        from oscar_events.cluster.ingest import ClusterIngest

        return ClusterIngest(directory, config, stop)

    _run(component)


def dispatcher(context: typer.Context, data: Data = None) -> None:
    """Run one dispatcher of a cluster in the foreground: it starts what events ask for, as processes of this host.

    Any number may run, on one host and directory; one of them schedules, another takes over within 10 s. It is ready
    when /readyz answers 200; broker and database are waited for. Ctrl-C or SIGTERM lets running scripts finish for a
    few seconds, a second one does not; what is cut off runs again. Ends with 0 when told to stop, with 2 for what only
    somebody can mend: a wrong password, missing topics, a ledger of another version.
    """
    directory, config = _configuration(context)

    def component(stop: Stop) -> Component:
        from oscar_events.cluster.dispatcher import ClusterDispatcher

        return ClusterDispatcher(directory, config, stop)

    _run(component)


def _configuration(context: typer.Context) -> tuple[DataDirectory, PlatformConfig]:
    from oscar_events.config import load_config

    directory = data_directory(context)
    return directory, load_config(directory)


def _run(make: Callable[[Stop], Component]) -> None:
    from oscar_events import log
    from oscar_events.lifecycle import Stop

    def listening(where: str) -> None:
        typer.echo(f"listening on http://{where}; Ctrl-C stops")

    async def running() -> None:
        stop = Stop()
        with stop.on_signals():
            await make(stop).run(listening)

    log.configure(sys.stderr)
    asyncio.run(running())
