"""The command `up`: the platform in the foreground.

In:  a directory, a port. Out: a running platform, until Ctrl-C or SIGTERM.
Not here: what it consists of (standalone.py).
"""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from oscar_events.cli.options import Data, data_directory


def up(
    context: typer.Context,
    data: Data = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="On 127.0.0.1; 0 takes a free one and prints it.")
    ] = 0,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="Runs at a time. Default: the cores.", show_default=False)
    ] = None,
) -> None:
    """Run the platform in the foreground.

    It is ready when /readyz answers 200. Ctrl-C or SIGTERM lets running scripts finish for a few seconds, a second one
    does not; what is cut off runs again at the next start. Ends with 0 when told to stop.
    """
    from oscar_events import log
    from oscar_events.lifecycle import Stop
    from oscar_events.standalone import HOST, Standalone, StandaloneSettings

    directory = data_directory(context)
    settings = StandaloneSettings(port) if concurrency is None else StandaloneSettings(port, concurrency)

    def listening(at: int) -> None:
        typer.echo(f"listening on http://{HOST}:{at}, buckets in {directory.buckets}; Ctrl-C stops")

    async def running() -> None:
        stop = Stop()
        with stop.on_signals():
            await Standalone(directory, settings, stop).run(listening)

    log.configure(sys.stderr)
    asyncio.run(running())
