"""The least that could be between a notification and a script: HTTP, an acknowledged record, a consumer, a process.

In:  the broker's address, a script, a journal for it. Out: a line with the port; then it serves until its standard
input ends. It decides nothing, keeps nothing, fetches nothing.
Not here: who sends (test_cluster.py).
"""

from __future__ import annotations

import asyncio
import socket
import sys

import msgspec
import uvicorn
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOPIC = "bare.loop"


async def consume(consumer: AIOKafkaConsumer, script: str, journal: str) -> None:
    """Start the script for every record."""
    started: set[asyncio.Task[int]] = set()
    async for record in consumer:
        key = msgspec.json.decode(record.value)["Key"]
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", script, env={"JOURNAL": journal, "STORAGE_OBJECT_KEY": key}
        )
        waiting = asyncio.create_task(process.wait())
        started.add(waiting)
        waiting.add_done_callback(started.discard)


async def serve(bootstrap: str, script: str, journal: str) -> None:
    """Serve until the standard input ends."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all")
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=bootstrap, auto_offset_reset="earliest")

    async def take(request: Request) -> Response:
        await producer.send_and_wait(TOPIC, await request.body())
        return JSONResponse({"accepted": 1}, status_code=202)

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    app = Starlette(routes=[Route("/ingest/test", take, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", access_log=False, log_config=None))
    async with producer, consumer, asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(sockets=[listener]))
        consuming = tasks.create_task(consume(consumer, script, journal))
        print(listener.getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True
        consuming.cancel()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
