"""Two HTTP servers on one bus in one process: the platform's webhook, and an empty route that awaits what it awaits.

In:  a directory; for Kafka also the settings of the broker, as JSON. Out: a line with the two ports; then it serves
until its standard input ends. The bare route awaits the SQLite bus itself, or an idempotent producer of aiokafka.
Not here: who sends (test_webhook.py).
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from aiokafka import AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from oscar_events.bus.kafka import KafkaBus
from oscar_events.bus.port import EVENTS
from oscar_events.bus.sqlite import SqliteBus
from oscar_events.config import load_config
from oscar_events.datadir import DataDirectory
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.manager.app import front
from oscar_events.manager.laptop import laptop_control
from oscar_events.record import Record
from oscar_events.settings import KafkaSettings
from oscar_ingest.sources.configured import ConfiguredSources
from oscar_ingest.sources.webhook import Webhook

Publish = Callable[[bytes], Awaitable[object]]


def bare(publish: Publish) -> Starlette:
    """Return an app that publishes what it is sent, whatever that is."""

    async def answer(request: Request) -> Response:
        await publish(await request.body())
        return JSONResponse({"accepted": 1}, status_code=202)

    return Starlette(routes=[Route("/ingest/minio", answer, methods=["POST"])])


@asynccontextmanager
async def on_sqlite(directory: DataDirectory) -> AsyncIterator[tuple[Starlette, Starlette]]:
    """Yield the laptop's front, and the bare route on its bus."""
    config = load_config(directory)
    async with SqliteLedger(directory.ledger_db) as ledger, SqliteBus(directory.log_db) as bus:
        webhook = Webhook(bus, ConfiguredSources(directory, config))
        control = laptop_control(ledger, bus, directory, config)
        ours = front(control, "token of the front", dict, webhook.routes())
        yield ours, bare(lambda body: bus.publish(EVENTS, [Record(None, body, 0)]))


@asynccontextmanager
async def on_kafka(directory: DataDirectory, settings: KafkaSettings) -> AsyncIterator[tuple[Starlette, Starlette]]:
    """Yield what an ingest of a cluster answers with, and the bare route on a producer with the same promises."""
    config = load_config(directory)
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, enable_idempotence=True, acks="all", compression_type="lz4"
    )
    async with KafkaBus(settings) as bus, producer:
        webhook = Webhook(bus, ConfiguredSources(directory, config))
        yield Starlette(routes=webhook.routes()), bare(lambda body: producer.send_and_wait(EVENTS, body))


async def serve(directory: DataDirectory, settings: KafkaSettings | None) -> None:
    """Serve both until the standard input ends."""
    directory.create()
    apps = on_sqlite(directory) if settings is None else on_kafka(directory, settings)
    async with apps as both, asyncio.TaskGroup() as tasks:
        servers = []
        for app in both:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # as the platform does
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            print(listener.getsockname()[1], end=" ")
            server = uvicorn.Server(uvicorn.Config(app, lifespan="off", access_log=False, log_config=None))
            servers.append(server)
            tasks.create_task(server.serve(sockets=[listener]))
        gc.collect()
        gc.freeze()  # as a component of a cluster does
        print(flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for server in servers:
            server.should_exit = True


if __name__ == "__main__":
    kafka = KafkaSettings.model_validate_json(sys.argv[2]) if len(sys.argv) > 2 else None
    asyncio.run(serve(DataDirectory(Path(sys.argv[1])), kafka))
