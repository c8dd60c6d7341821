"""What a pending run waits for.

In:  a run. Out: when it may be tried next, and why it is not running.
Not here: who gets how much (oscar_dispatcher/fairness.py), leasing it (leases.py).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from oscar_events.codec import iso
from oscar_events.execution import State
from oscar_events.ledger import services
from oscar_events.ledger.port import now
from oscar_events.ledger.tables import executions, is_in_flight, queue
from oscar_events.ledger.tables import services as services_table

# Beyond it is only said "or more": counting a long queue to its end is of no use to anybody.
_COUNTED = 1000
NO_PLATFORM = "no platform runs on this directory: start it with `oscar-events up`"


def waits(connection: Connection, run: str, *, has_platform: bool) -> dict[str, Any] | None:
    """Return why a run waits, None if it is not pending: `until` (when it may be leased), `reason`, `ahead` (how many
    runs of its service come first, at most 1000). has_platform: whether one runs on this directory."""
    query = (
        select(executions.c.service_uid, executions.c.reason, executions.c.attempt, queue.c.not_before_at)
        .outerjoin(queue, queue.c.execution_id == executions.c.id)
        .where(executions.c.id == run, executions.c.state == State.PENDING.value)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.not_before_at is None:
        return {
            "until": None,
            "reason": "it is not in the queue; the platform puts it there within a minute"
            if has_platform
            else NO_PLATFORM,
            "ahead": 0,
        }
    ahead = _ahead(connection, row.service_uid, row.not_before_at, run)
    until = iso(datetime.fromtimestamp(row.not_before_at / 1000, UTC))
    if row.not_before_at > now(connection):
        why = f"attempt {row.attempt - 1} failed: {row.reason}" if row.attempt > 1 else "it was put off"
        return {"until": until, "reason": why, "ahead": ahead}
    reason = _for_room(connection, row.service_uid, ahead) if has_platform else NO_PLATFORM
    return {"until": until, "reason": reason, "ahead": ahead}


def _for_room(connection: Connection, service_uid: str, ahead: int) -> str:
    running = select(func.count()).where(is_in_flight)
    of_service = connection.scalar(running.where(executions.c.service_uid == service_uid)) or 0
    revision = select(services_table.c.revision).where(services_table.c.uid == service_uid)
    service = services.revision(connection, service_uid, connection.execute(revision).scalar_one())
    limit = service.dispatch.concurrency
    if limit is not None and of_service >= limit:
        return f"its service has {of_service} running, and dispatch.concurrency is {limit}"
    everything = connection.scalar(running) or 0
    if everything:
        before = f", and {ahead}{' or more' if ahead == _COUNTED else ''} of its service come first" if ahead else ""
        return f"the platform has {everything} running, and no room for more{before}"
    return "it is about to start"


def _ahead(connection: Connection, service_uid: str, not_before_at: int, run: str) -> int:
    earlier = or_(
        queue.c.not_before_at < not_before_at,
        and_(queue.c.not_before_at == not_before_at, queue.c.execution_id < run),
    )
    first = select(queue.c.execution_id).where(queue.c.service_uid == service_uid, earlier).limit(_COUNTED).subquery()
    return connection.scalar(select(func.count()).select_from(first)) or 0
