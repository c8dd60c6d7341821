"""How long `why` and a page of `runs` take with a million executions in the ledger, next to a thousand."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from oscar_events import codec
from oscar_events.bus.port import EVENTS
from oscar_events.bus.sqlite import SqliteBus
from oscar_events.cli.client import FrontClient
from oscar_events.config import PlatformConfig
from oscar_events.datadir import DataDirectory, Up
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.manager.app import front
from oscar_events.manager.control import Control
from oscar_events.manager.laptop import laptop_control
from oscar_events.record import Record
from tests.benchmarks import figures
from tests.contracts.ledger.making import file_event

pytestmark = pytest.mark.benchmark

FEW, MANY = 1_000, 1_000_000
SERVICES = 20
# Of the newest events the log still holds some, as after a busy week; `why` looks there for every object.
IN_LOG = 50_000
STEP = 1_000
SAMPLES = 500  # p99 is then the fifth slowest
WARM_UP = 20
PAGE = 50  # what `runs` shows; and below what one answer of the front may hold
LARGE_PAGE = 1000
TOKEN = "token"

# One execution with its event and its attempt per number, ids at random as real ones are.
_FILL = """
    CREATE TEMP TABLE made AS
    WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < :count)
    SELECT i, lower(hex(randomblob(13))) AS id, 'folder-' || lower(hex(randomblob(13))) AS event_id,
           printf('in/%07d.png', i) AS subject, :began + i AS at FROM numbers;
    INSERT INTO events (key, id, tenant, provider, bucket, subject, size, file_id, modified_ns, recorded_at, envelope)
    SELECT 'default/*/' || event_id, event_id, 'default', 'local.default', 'pics', subject, 3, CAST(i AS TEXT), 1, at,
           CAST(replace(replace(:envelope, :id_there, event_id), :key_there, subject) AS BLOB) FROM made;
    INSERT INTO executions (id, tenant, service_uid, service, event_id, event_key, bucket, subject, input, state,
                            attempt, revision, cancel_requested, reason, exit_code, outputs, created_at,
                            first_submit_at, started_at, ended_at)
    SELECT id, 'default', :uid, 's0', event_id, 'default/*/' || event_id, 'pics', subject, 0, 'succeeded', 1, 1, 0, '',
           0, '["out/' || subject || '"]', at, at, at, at + 5 FROM made;
    INSERT INTO attempts (execution_id, number, nonce, token, epoch, lease_until, submitted_at, started_at, ended_at,
                          outcome, reason, exit_code, log)
    SELECT id, 1, 'nonce', 'token', 1, 0, at, at, at + 5, 'succeeded', '', 0, randomblob(200) FROM made;
"""


@dataclass
class Scene:
    """A platform's answers: straight, and over HTTP."""

    control: Control
    client: FrontClient
    count: int
    ids: list[str]


def fill(path: Path, count: int, uid: str) -> None:
    """Put the executions straight into the tables: claiming a million takes minutes, and is measured elsewhere."""
    event = file_event(b"in/KEY.png")
    values = {
        "count": count,
        "began": int(time.time() * 1000) - count,
        "envelope": codec.encode(event).value.decode(),
        "id_there": event.id,
        "key_there": "in/KEY.png",
        "uid": uid,
    }
    connection = sqlite3.connect(path, isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -400000")
        connection.execute("BEGIN")
        for statement in _FILL.strip().removesuffix(";").split(";\n"):
            connection.execute(statement, {name: value for name, value in values.items() if f":{name}" in statement})
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.asynccontextmanager
async def scene(path: Path, count: int) -> AsyncIterator[Scene]:
    directory = DataDirectory(path)
    directory.create()
    async with SqliteLedger(directory.ledger_db) as ledger, SqliteBus(directory.log_db) as bus:
        control = laptop_control(ledger, bus, directory, PlatformConfig(), is_running=True)
        documents: list[dict[str, Any]] = [
            {
                "name": f"s{number}",
                "image": "busybox",
                "script": "true",
                "input": [{"storage_provider": "local", "path": f"pics/{'in' if number == 0 else f'in{number}'}"}],
            }
            for number in range(SERVICES)
        ]
        [first, *_] = await control.apply(documents)
        began = time.monotonic()
        await asyncio.to_thread(fill, directory.ledger_db, count, first["uid"])
        with contextlib.closing(sqlite3.connect(directory.ledger_db)) as connection:
            query = "SELECT event_id, subject FROM executions ORDER BY created_at DESC LIMIT ?"
            newest = connection.execute(query, (IN_LOG,)).fetchall()
            ids = [row[0] for row in connection.execute("SELECT id FROM executions ORDER BY random() LIMIT 2000")]
        for start in range(0, len(newest), STEP):
            await bus.publish(EVENTS, [told(*row) for row in newest[start : start + STEP]])
        size = directory.ledger_db.stat().st_size / 1024**2
        print(f"  {count:,} executions: {size:,.0f} MiB, made in {time.monotonic() - began:.0f} s")
        server = uvicorn.Server(uvicorn.Config(front(control, TOKEN, dict), lifespan="off", log_config=None))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve(sockets=[listener]))
                yield Scene(control, FrontClient(Up(0, listener.getsockname()[1], TOKEN)), count, ids)
                server.should_exit = True


def told(identity: str, subject: str) -> Record:
    record = codec.encode(dataclasses.replace(file_event(codec.key_of(subject)), id=identity))
    return Record(record.key, record.value, int(time.time() * 1000), record.headers)


async def timed(question: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await question()
    return time.perf_counter() - began


async def test_why_and_pages_of_runs_with_a_million_executions(tmp_path: Path) -> None:
    chance = random.Random(4)
    since = datetime.now(UTC) - timedelta(days=1)
    print("\nwhy, and pages of runs:")

    def why(scene: Scene, asked: Any) -> Callable[[], Awaitable[object]]:
        key = b"in/%07d.png" % chance.randrange(scene.count)
        return lambda: asked.journal.why("pics", key, since=since)

    def page(scene: Scene, asked: Any, limit: int) -> Callable[[], Awaitable[object]]:
        before = chance.choice(scene.ids)
        return lambda: asked.runs(limit=limit, before=before)

    questions: dict[str, Callable[[Scene], Callable[[], Awaitable[object]]]] = {
        "why": lambda scene: why(scene, scene.control),
        "why, over HTTP": lambda scene: why(scene, scene.client),
        f"runs, page of {PAGE}": lambda scene: page(scene, scene.control, PAGE),
        f"runs, page of {PAGE}, over HTTP": lambda scene: page(scene, scene.client, PAGE),
        f"runs, page of {LARGE_PAGE}": lambda scene: page(scene, scene.control, LARGE_PAGE),
    }
    async with scene(tmp_path / "few", FEW) as few, scene(tmp_path / "many", MANY) as many:
        answer = await many.control.journal.why("pics", b"in/%07d.png" % (MANY - 1), since=since)
        assert answer["events"][0]["services"][0]["runs"], "what is measured finds its runs"
        assert await few.control.runs(limit=PAGE, before=few.ids[0]) is not None
        for name, question in questions.items():
            took: dict[int, list[float]] = {FEW: [], MANY: []}
            for sample in range(WARM_UP + SAMPLES):
                for one in (few, many):
                    seconds = await timed(question(one))
                    if sample >= WARM_UP:
                        took[one.count].append(seconds)
            for count, seconds_each in took.items():
                print(figures.latency(f"{name}, {count:,} executions", seconds_each))
            slow = [figures.quantile(took[count], 0.99) for count in (MANY, FEW)]
            print(f"  {'p99, many / few':<44} {slow[0] / slow[1]:9.2f} x")
