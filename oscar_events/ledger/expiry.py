"""Runs that nobody began within the time their service gives them: `expired`, with a reason.

In:  the scheduler's epoch, and how long runs of which services may wait. Out: those runs ended, out of the queue.
Not here: what a service says (`dispatch.expire`), when to look (oscar_dispatcher/schedule.py), runs that were submitted
before (retry.py: `retry.max_age` is theirs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, select

from oscar_events.execution import State
from oscar_events.ledger import roles
from oscar_events.ledger.moves import Move, end_queued
from oscar_events.ledger.port import now
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.tables import executions, queue
from oscar_events.service.amounts import lasting

# Runs of a service that are ended in one unit: a few milliseconds, so that others are not kept from writing. It ends
# with the service that makes it as many: however many services have something overdue, it takes no longer than that.
PER_UNIT = 256

# A run is queued for the moment of its claim, so those that waited longest are the first of their service; one whose
# lease was given back is queued for later, and found by whoever would lease it.
_overdue = (
    select(executions.c.id)
    .select_from(queue)
    .join(executions, executions.c.id == queue.c.execution_id)
    .where(
        queue.c.service_uid == bindparam("service_uid"),
        queue.c.not_before_at <= bindparam("latest"),
        executions.c.created_at <= bindparam("latest"),
        executions.c.first_submit_at.is_(None),
        executions.c.state == State.PENDING.value,
    )
    .order_by(queue.c.not_before_at, queue.c.execution_id)
    .limit(PER_UNIT)
    .with_for_update(of=executions, skip_locked=True)
)


def expire(connection: Connection, epoch: int, limits: Mapping[str, int]) -> list[str]:
    """End what waited longer than its service lets it; return the runs, at most PER_UNIT of each service.

    limits: service uid -> milliseconds from the claim. While it returns any there may be more. Raises FencedError.
    """
    if not limits:
        return []
    roles.require(connection, SCHEDULER, epoch)
    time = now(connection)
    ended: list[str] = []
    for service_uid, limit in limits.items():
        parameters = {"service_uid": service_uid, "latest": time - limit}
        late = connection.scalars(_overdue, parameters).all()
        end(connection, late, limit, time)
        ended += late
        if len(ended) >= PER_UNIT:
            break
    return ended


def is_overdue(created_at: int, first_submit_at: int | None, limit: int | None, time: int) -> bool:
    """Tell whether a pending run waited longer than the limit, milliseconds; None = it may wait for ever."""
    return limit is not None and first_submit_at is None and created_at + limit <= time


def end(connection: Connection, late: Sequence[str], limit: int, time: int) -> None:
    """End pending runs and take them out of the queue."""
    reason = f"nothing began it within {lasting(limit / 1000)} of its claim, its service's dispatch.expire"
    columns = {"reason": reason, "ended_at": time}
    end_queued(connection, [Move(execution, State.PENDING, State.EXPIRED, columns) for execution in late])
