"""The lease: the right to submit an execution, for a time; and the permit that uses it.

In:  the scheduler's epoch and what it has room for. Out: leased attempts with all that is needed to build their jobs.
Not here: who gets how much (oscar_dispatcher/fairness.py), what the end of an attempt means (ends.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from oscar_events.errors import FencedError
from oscar_events.execution import State
from oscar_events.ledger import expiry, roles
from oscar_events.ledger.moves import SERVICE_DELETED, enqueue, move
from oscar_events.ledger.port import now
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.tables import attempts, events, executions, is_live, queue, services


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a service has in the queue, as far as the scheduler asked. next_at: when its first one may run, ms."""

    service_uid: str
    tenant: str
    next_at: int


@dataclass(frozen=True, slots=True)
class Leased:
    """An attempt that may be submitted until lease_until (ms), under token.

    envelope: the event as it lay on the bus.
    """

    execution: str
    attempt: int
    nonce: str
    token: str
    lease_until: int
    tenant: str
    service_uid: str
    service: str
    revision: int
    envelope: bytes


# Each service that has something queued, with its first: one index step per service, however long its queue is. A
# loose scan, which neither database does by itself.
_services = select(func.min(queue.c.service_uid).label("service_uid")).cte("waiting_services", recursive=True)
_other = queue.alias("other")
_services = _services.union_all(
    select(
        select(func.min(_other.c.service_uid)).where(_other.c.service_uid > _services.c.service_uid).scalar_subquery()
    ).where(_services.c.service_uid.is_not(None))
)
_first = (
    select(_other.c.execution_id)
    .where(_other.c.service_uid == _services.c.service_uid)
    .order_by(_other.c.not_before_at, _other.c.execution_id)
    .limit(1)
    .correlate(_services)
    .scalar_subquery()
)
_waiting = select(queue.c.service_uid, queue.c.tenant, queue.c.not_before_at).join(
    _services, queue.c.execution_id == _first
)
_ready = (
    select(
        executions.c.id,
        executions.c.attempt,
        executions.c.tenant,
        executions.c.service_uid,
        executions.c.service,
        executions.c.revision,
        executions.c.created_at,
        executions.c.first_submit_at,
        services.c.revision.label("present"),
        events.c.envelope,
        attempts.c.nonce,
    )
    .select_from(queue)
    .join(executions, executions.c.id == queue.c.execution_id)
    .join(services, services.c.uid == executions.c.service_uid)
    .join(events, events.c.key == executions.c.event_key)
    .outerjoin(attempts, (attempts.c.execution_id == executions.c.id) & (attempts.c.number == executions.c.attempt))
    .where(queue.c.service_uid == bindparam("service_uid"), queue.c.not_before_at <= bindparam("time"))
    .order_by(queue.c.not_before_at, queue.c.execution_id)
    .limit(bindparam("count"))
)
_dequeue = delete(queue).where(queue.c.execution_id == bindparam("of"))
_lease_again = (
    update(attempts)
    .where(attempts.c.execution_id == bindparam("of"), attempts.c.number == bindparam("attempt"))
    .values(token=bindparam("new_token"), epoch=bindparam("new_epoch"), lease_until=bindparam("new_until"))
)
_submit = (
    update(attempts)
    .where(
        attempts.c.execution_id == bindparam("of"),
        attempts.c.number == bindparam("attempt"),
    )
    .values(submitted_at=bindparam("time"), spec_hash=bindparam("hash"))
)
_held = (
    select(
        executions.c.state,
        executions.c.first_submit_at,
        executions.c.cancel_requested,
        attempts.c.token,
        attempts.c.lease_until,
        attempts.c.spec_hash,
        roles.scheduler_epoch,
    )
    .join(attempts, attempts.c.execution_id == executions.c.id)
    .where(executions.c.id == bindparam("of"), attempts.c.number == bindparam("attempt"))
)


def waiting(connection: Connection) -> list[Waiting]:
    """Return each service that has something queued, with the time its first may run."""
    return [Waiting(row.service_uid, row.tenant, row.not_before_at) for row in connection.execute(_waiting)]


def lease(
    connection: Connection,
    epoch: int,
    shares: Sequence[tuple[str, int]],
    lease_ms: int,
    limits: Mapping[str, int] | None = None,
) -> list[Leased]:
    """Lease up to `count` ready executions of each (service uid, count), oldest first. Raises FencedError.

    limits: service uid -> milliseconds after its claim in which a run must begin; later ones are ended (expiry.py).
    Revision and nonce are fixed with an attempt's first lease; a later lease of the same attempt finds them again.
    """
    roles.require(connection, SCHEDULER, epoch)
    time = now(connection)
    leased: list[Leased] = []
    for service_uid, count in shares:
        limit = (limits or {}).get(service_uid)
        ready = _in_time(connection, service_uid, count, limit, time)
        leased.extend(_lease_one(connection, row, epoch, time + lease_ms) for row in ready)
    return leased


def _in_time(connection: Connection, service_uid: str, count: int, limit: int | None, time: int) -> list[Any]:
    """Return up to `count` ready executions that may still begin; end those that may not."""
    parameters = {"service_uid": service_uid, "time": time, "count": count}
    while True:
        ready = list(connection.execute(_ready, parameters))
        if limit is None:
            return ready
        overdue = [row for row in ready if expiry.is_overdue(row.created_at, row.first_submit_at, limit, time)]
        if not overdue:
            return ready
        for row in overdue:
            expiry.end(connection, row.id, limit, time)


def _lease_one(connection: Connection, row: Any, epoch: int, until: int) -> Leased:
    execution = row.id
    token = secrets.token_hex(8)
    revision = row.revision if row.revision is not None else row.present
    nonce = row.nonce
    if nonce is None:
        nonce = secrets.token_hex(8)
        connection.execute(
            insert(attempts),
            {
                "execution_id": execution,
                "number": row.attempt,
                "nonce": nonce,
                "token": token,
                "epoch": epoch,
                "lease_until": until,
            },
        )
    else:
        connection.execute(
            _lease_again,
            {"of": execution, "attempt": row.attempt, "new_token": token, "new_epoch": epoch, "new_until": until},
        )
    move(connection, execution, State.PENDING, State.LEASED, revision=revision)
    connection.execute(_dequeue, {"of": execution})
    return Leased(
        execution,
        row.attempt,
        nonce,
        token,
        until,
        row.tenant,
        row.service_uid,
        row.service,
        revision,
        row.envelope,
    )


def submit(connection: Connection, epoch: int, held: Leased, spec_hash: str) -> bool:
    """Commit `leased -> submitted`; True if the attempt may start. False if a cancel came first, and then it is final.

    Raises FencedError when the role has passed to somebody else, when the lease has or its time is over, or when this
    attempt was specified otherwise before: what would be submitted is not what the ledger has under this name.
    """
    row = connection.execute(_held, {"of": held.execution, "attempt": held.attempt}).one()
    roles.check(SCHEDULER, row.scheduler_epoch, epoch)
    time = now(connection)
    if row.state != State.LEASED or row.token != held.token or row.lease_until < time:
        raise FencedError(f"the lease of run {held.execution}, attempt {held.attempt}, is over")
    if row.spec_hash not in (None, spec_hash):
        raise FencedError(f"run {held.execution}, attempt {held.attempt}, was specified otherwise before")
    if row.cancel_requested:
        reason = "cancelled before it started"
        move(connection, held.execution, State.LEASED, State.CANCELLED, reason=reason, ended_at=time)
        return False
    connection.execute(_submit, {"of": held.execution, "attempt": held.attempt, "time": time, "hash": spec_hash})
    first = row.first_submit_at or time
    # Why it waited, or failed before, is no news of this attempt.
    move(connection, held.execution, State.LEASED, State.SUBMITTED, first_submit_at=first, reason="")
    return True


def give_back(connection: Connection, epoch: int, held: Leased, reason: str, not_before_ms: int = 0) -> None:
    """Return a leased execution to the queue with the same attempt: it was not submitted. Raises FencedError.

    not_before_ms: how long to wait before it may be leased again.
    """
    roles.require(connection, SCHEDULER, epoch)
    token = connection.scalar(
        select(attempts.c.token).where(attempts.c.execution_id == held.execution, attempts.c.number == held.attempt)
    )
    if token != held.token:
        raise FencedError(f"the lease of run {held.execution}, attempt {held.attempt}, is over")
    _requeue(connection, held.execution, held.service_uid, held.tenant, reason, now(connection) + not_before_ms)


def take_back(connection: Connection, epoch: int, execution: str, reason: str) -> None:
    """Return to the queue what an earlier holder of the role leased and never submitted: same attempt, new token."""
    roles.require(connection, SCHEDULER, epoch)
    row = connection.execute(
        select(executions.c.service_uid, executions.c.tenant).where(executions.c.id == execution)
    ).one()
    _requeue(connection, execution, row.service_uid, row.tenant, reason, now(connection))


def _requeue(
    connection: Connection, execution: str, service_uid: str, tenant: str, reason: str, not_before: int
) -> None:
    deleted_at = connection.scalar(select(services.c.deleted_at).where(services.c.uid == service_uid))
    if deleted_at is not None:
        ended = {"reason": SERVICE_DELETED, "ended_at": now(connection)}
        move(connection, execution, State.LEASED, State.CANCELLED, **ended)
        return
    move(connection, execution, State.LEASED, State.PENDING, reason=reason)
    enqueue(connection, [(execution, service_uid, tenant)], not_before)


def repair(connection: Connection, epoch: int) -> list[str]:
    """Queue what is pending and not in the queue; return its ids. There should be none: each one is an alarm."""
    roles.require(connection, SCHEDULER, epoch)
    query = (
        select(executions.c.id, executions.c.service_uid, executions.c.tenant)
        .outerjoin(queue, queue.c.execution_id == executions.c.id)
        .where(is_live, executions.c.state == State.PENDING, queue.c.execution_id.is_(None))
    )
    found = connection.execute(query).all()
    enqueue(connection, ((row.id, row.service_uid, row.tenant) for row in found), now(connection))
    return [row.id for row in found]
