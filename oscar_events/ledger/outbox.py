"""What the rest of the world is told of, written in the same transaction as what happened.

In:  runs that ended. Out: rows to publish, deleted once the bus acknowledged.
Not here: publishing them (oscar_dispatcher/outbox.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, select

from oscar_events.bus.port import DEADLETTER, EXECUTIONS
from oscar_events.execution import State
from oscar_events.ledger.port import now
from oscar_events.ledger.rows import among, insert_rows
from oscar_events.ledger.tables import outbox
from oscar_events.record import Record

_oldest = select(outbox).order_by(outbox.c.id).limit(bindparam("count"))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row of the outbox."""

    id: int
    topic: str
    record: Record


def tell(connection: Connection, runs: Sequence[Mapping[str, Any]]) -> None:
    """Put the ends of runs, as runs.py shows them, in the outbox: copies on `oscar.executions`, of dead ones also on
    `oscar.deadletter`."""
    time = now(connection)
    rows = [
        {"key": run["id"].encode(), "value": msgspec.json.encode(run), "created_at": time, "topic": topic}
        for run in runs
        for topic in ([EXECUTIONS, DEADLETTER] if run["state"] == State.DEAD else [EXECUTIONS])
    ]
    insert_rows(connection, outbox, rows)


def oldest(connection: Connection, count: int) -> list[Waiting]:
    """Return the oldest rows still to be published."""
    return [
        Waiting(row.id, row.topic, Record(row.key, row.value, row.created_at, (("content-type", b"application/json"),)))
        for row in connection.execute(_oldest, {"count": count})
    ]


def acknowledged(connection: Connection, rows: Sequence[int]) -> None:
    """Delete rows that the bus has acknowledged."""
    of_them = among(connection.dialect.name, outbox.c.id, "of")
    connection.execute(delete(outbox).where(of_them), {"of": list(rows)})
