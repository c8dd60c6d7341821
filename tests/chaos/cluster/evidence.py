"""Collects what the checker judges: from the topics, the ledger, the store, the journals, the processes.

In:  an installation that has come to rest. Out: its evidence.
Not here: judging it (checker.py).

Topics and tables are read past the product, by their own clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Set
from typing import Any
from urllib.parse import unquote

from aiokafka import AIOKafkaConsumer, TopicPartition

from oscar_events.holder import HOST_NAME, SPARE_PREFIX
from tests.acceptance.platform import until
from tests.chaos.cluster.checker import Evidence
from tests.chaos.cluster.installation import Installation
from tests.chaos.cluster.uploads import BUCKET, content_of
from tests.chaos.processes import processes_of

# After the end of the last run: its directory is removed in a moment, or never.
_CLEANING_S = 5.0
_RUNS = """
SELECT json_build_object('id', e.id, 'bucket', e.bucket, 'key', e.subject, 'state', e.state, 'event', e.event_id,
  'has_ended', e.ended_at IS NOT NULL,
  'attempts', (SELECT coalesce(json_agg(json_build_object('number', a.number, 'outcome', a.outcome)), '[]')
               FROM attempts a WHERE a.execution_id = e.id))
FROM executions e
"""


def collect(installation: Installation, seed: int, acknowledged: Set[str], poison: Set[str]) -> Evidence:
    """Return the evidence. seed: of the uploads' content. acknowledged: by the store. poison: by SHA-256, as taken."""
    servers = installation.servers
    runs = runs_of(installation)
    events = [json.loads(value) for value in _records(installation, "oscar.events") if _is_event(value)]
    keys = servers.minio.client.etags(BUCKET, "in/")
    outputs = servers.minio.client.etags(BUCKET, "out/")
    return Evidence(
        acknowledged=acknowledged,
        stored={f"{BUCKET}/{key}": content_of(seed, f"{BUCKET}/{key}") for key in keys},
        accepted=servers.notifier.told.accepted,
        on_topic={event["id"]: f"{BUCKET}/{event['data']['object']['key']}" for event in events},
        poison=poison,
        quarantined={json.loads(value)["sha256"] for value in _records(installation, "oscar.quarantine")},
        runs=runs,
        told={json.loads(value)["id"] for value in _records(installation, "oscar.executions")},
        told_dead={json.loads(value)["id"] for value in _records(installation, "oscar.deadletter")},
        scripts=installation.journal.scripts(),
        results={f"{BUCKET}/{key}": etag for key, etag in outputs.items()},
        leftovers=_leftovers(installation, {run["id"] for run in runs}),
    )


def runs_of(installation: Installation) -> list[dict[str, Any]]:
    """Return all executions of the ledger, their keys decoded."""
    rows = installation.servers.postgres.execute(_RUNS, installation.servers.database)
    return [{**run, "key": unquote(run["key"])} for run in map(json.loads, rows.splitlines())]


def _is_event(value: bytes) -> bool:
    """Return whether a record is one that ingest published, and none of the poison."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return bool(json.loads(value)["data"]["schema"] == 1)
    return False


def _records(installation: Installation, topic: str) -> list[bytes]:
    """Return the values of all records of a topic."""

    async def read() -> list[bytes]:
        values: list[bytes] = []
        name = installation.servers.prefix + topic
        async with AIOKafkaConsumer(bootstrap_servers=installation.servers.kafka.bootstrap) as consumer:
            await consumer._client.force_metadata_update()
            partitions = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
            ends = await consumer.end_offsets(partitions)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
                batches = await consumer.getmany(timeout_ms=200)
                values += [record.value for records in batches.values() for record in records]
        return values

    return asyncio.run(read())


def _leftovers(installation: Installation, executions: Set[str]) -> list[str]:
    """Return directories and processes of runs that have ended, once there was time to remove them."""

    def left() -> list[str]:
        workers = [worker for dispatcher in installation.dispatchers for worker in dispatcher.workers()]
        kept = {HOST_NAME, *(f"{SPARE_PREFIX}{worker}" for worker in workers)}
        directories = [str(path) for path in (installation.data / "jobs").iterdir() if path.name not in kept]
        return directories + processes_of(executions)

    with contextlib.suppress(AssertionError):
        until(lambda: not left(), "nothing is left", _CLEANING_S)
    return left()
