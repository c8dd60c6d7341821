"""What the rest of the world is told of, written in the same transaction as what happened.

In:  runs that ended. Out: rows to publish, deleted once the bus acknowledged.
Not here: publishing them (oscar_dispatcher/outbox.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select

from oscar_events.bus.port import DEADLETTER, EXECUTIONS
from oscar_events.execution import State
from oscar_events.ledger.port import now
from oscar_events.ledger.tables import outbox
from oscar_events.record import Record

_insert = insert(outbox)
_oldest = select(outbox).order_by(outbox.c.id).limit(bindparam("count"))
_delete = delete(outbox).where(outbox.c.id == bindparam("row"))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row of the outbox."""

    id: int
    topic: str
    record: Record


def tell(connection: Connection, run: Mapping[str, Any]) -> None:
    """Put the end of a run, as runs.py shows it, in the outbox: a copy on `oscar.executions`, a dead one also on
    `oscar.deadletter`."""
    topics = [EXECUTIONS, DEADLETTER] if run["state"] == State.DEAD else [EXECUTIONS]
    row = {"key": run["id"].encode(), "value": msgspec.json.encode(run), "created_at": now(connection)}
    connection.execute(_insert, [{**row, "topic": topic} for topic in topics])


def oldest(connection: Connection, count: int) -> list[Waiting]:
    """Return the oldest rows still to be published."""
    return [
        Waiting(row.id, row.topic, Record(row.key, row.value, row.created_at, (("content-type", b"application/json"),)))
        for row in connection.execute(_oldest, {"count": count})
    ]


def acknowledged(connection: Connection, rows: Sequence[int]) -> None:
    """Delete rows that the bus has acknowledged."""
    connection.execute(_delete, [{"row": row} for row in rows])
