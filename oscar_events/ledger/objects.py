"""What the ledger holds of one object, and of events by their ids.

In:  bucket and key, or event ids. Out: runs as JSON with their attempts; envelopes.
Not here: what is made of it (manager/why.py), runs in the order of time (runs.py).
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from oscar_events.codec import iso, subject
from oscar_events.ledger import runs, waiting
from oscar_events.ledger.tables import PURGED, events, executions

# What is shown of a script's output: its end, where errors are; no more of it than lines of a usual length take.
TAIL_LINES = 10
_TAIL_BYTES = 4096
# As elsewhere: a list of this size is cheap to parse (claims.py).
_IDS_PER_QUERY = 500
# Outputs have no index of their own; so many rows are read in some 10 ms, and whoever asks asks about what is new.
_WRITERS = 5000


def runs_of(connection: Connection, bucket: str, key: bytes, limit: int, *, has_platform: bool) -> list[dict[str, Any]]:
    """Return the newest runs for an object, newest first: as `runs.show`, with service_uid, waits and log_tail.

    has_platform: whether one runs on this directory.
    """
    query = (
        select(executions.c.id, executions.c.service_uid)
        .where(executions.c.bucket == bucket, executions.c.subject == subject(key))
        .order_by(executions.c.created_at.desc(), executions.c.id.desc())
        .limit(limit)
    )
    rows = connection.execute(query).all()
    return [_with_tail(connection, row.id, row.service_uid, has_platform=has_platform) for row in rows]


def written_by(connection: Connection, name: str, services: Collection[str]) -> dict[str, Any] | None:
    """Return the newest run that wrote an object, BUCKET/KEY as people read it: id, service, ended_at; None if none.

    services: whose runs may have; of each, the newest 5,000 are looked at.
    """
    found: list[Row[Any]] = []
    for service in services:
        newest = (
            select(executions.c.id, executions.c.service, executions.c.ended_at, executions.c.outputs)
            .where(executions.c.service == service)
            .order_by(executions.c.created_at.desc(), executions.c.id.desc())
            .limit(_WRITERS)
            .subquery()
        )
        # As ends.py writes it: a list of names in JSON.
        wrote = newest.c.outputs.contains(json.dumps(name), autoescape=True)
        found += connection.execute(select(newest).where(wrote).order_by(newest.c.ended_at.desc()).limit(1)).all()
    last = max(found, key=lambda row: row.ended_at, default=None)
    if last is None:
        return None
    ended = iso(datetime.fromtimestamp(last.ended_at / 1000, UTC))
    return {"id": last.id, "service": last.service, "ended_at": ended}


def envelopes(connection: Connection, event_ids: Collection[str]) -> dict[str, bytes]:
    """Return the envelopes of those events that are still kept."""
    found: dict[str, bytes] = {}
    for some in _parts(event_ids):
        rows = connection.execute(
            select(events.c.id, events.c.envelope).where(events.c.id.in_(some), events.c.envelope != PURGED)
        )
        found.update((row.id, row.envelope) for row in rows)
    return found


def started_by(connection: Connection, event_ids: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Return, per event that started something, its runs: id, service, state."""
    found: dict[str, list[dict[str, Any]]] = {}
    for some in _parts(event_ids):
        query = (
            select(executions.c.event_id, executions.c.id, executions.c.service, executions.c.state)
            .where(executions.c.event_id.in_(some))
            .order_by(executions.c.service, executions.c.created_at)
        )
        for row in connection.execute(query):
            run = {"id": row.id, "service": row.service, "state": row.state}
            found.setdefault(row.event_id, []).append(run)
    return found


def _with_tail(connection: Connection, run: str, service_uid: str, *, has_platform: bool) -> dict[str, Any]:
    _, _, log = runs.log(connection, run)
    lines = (log or b"")[-_TAIL_BYTES:].decode("utf-8", "replace").splitlines()
    waits = waiting.waits(connection, run, has_platform=has_platform)
    return {**runs.show(connection, run), "service_uid": service_uid, "waits": waits, "log_tail": lines[-TAIL_LINES:]}


def _parts(event_ids: Collection[str]) -> list[list[str]]:
    ordered = sorted(event_ids)
    return [ordered[start : start + _IDS_PER_QUERY] for start in range(0, len(ordered), _IDS_PER_QUERY)]
