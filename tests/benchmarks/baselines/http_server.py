"""Two HTTP servers on one SQLite bus in one process: the platform's front, and an empty route that awaits the bus.

In:  a directory. Out: a line with the two ports; then it serves until its standard input ends.
Not here: who sends (test_webhook.py).
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from oscar_events.bus.port import EVENTS, Bus
from oscar_events.bus.sqlite import SqliteBus
from oscar_events.config import load_config
from oscar_events.datadir import DataDirectory
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.manager.app import front
from oscar_events.manager.laptop import laptop_control
from oscar_events.record import Record
from oscar_ingest.sources.configured import ConfiguredSources
from oscar_ingest.sources.webhook import Webhook


def bare(bus: Bus) -> Starlette:
    """Return an app that publishes what it is sent, whatever that is."""

    async def publish(request: Request) -> Response:
        await bus.publish(EVENTS, [Record(None, await request.body(), 0)])
        return JSONResponse({"accepted": 1}, status_code=202)

    return Starlette(routes=[Route("/ingest/minio", publish, methods=["POST"])])


async def serve(directory: DataDirectory) -> None:
    """Serve both until the standard input ends."""
    directory.create()
    config = load_config(directory)
    async with SqliteLedger(directory.ledger_db) as ledger, SqliteBus(directory.log_db) as bus:
        webhook = Webhook(bus, ConfiguredSources(directory, config))
        control = laptop_control(ledger, bus, directory, config)
        apps = [front(control, "token of the front", dict, webhook.routes()), bare(bus)]
        async with asyncio.TaskGroup() as tasks:
            servers = []
            for app in apps:
                listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # as the platform does
                listener.bind(("127.0.0.1", 0))
                listener.listen()
                print(listener.getsockname()[1], end=" ")
                server = uvicorn.Server(uvicorn.Config(app, lifespan="off", access_log=False, log_config=None))
                servers.append(server)
                tasks.create_task(server.serve(sockets=[listener]))
            print(flush=True)
            await asyncio.to_thread(sys.stdin.read)
            for server in servers:
                server.should_exit = True


if __name__ == "__main__":
    asyncio.run(serve(DataDirectory(Path(sys.argv[1]))))
