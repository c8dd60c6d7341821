"""The lease: the right to submit an execution, for a time.

In:  the scheduler's epoch and what it has room for. Out: leased attempts with all that is needed to build their jobs.
Not here: who gets how much (oscar_dispatcher/fairness.py), the permit that uses a lease (permits.py), what the end of
an attempt means (ends.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from oscar_events.errors import FencedError
from oscar_events.execution import State
from oscar_events.ledger import ends, expiry, roles
from oscar_events.ledger.moves import SERVICE_DELETED, enqueue, move, move_all, requeue
from oscar_events.ledger.port import now
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.rows import among, insert_rows
from oscar_events.ledger.tables import attempts, events, executions, is_in_flight, is_live, queue, services


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
        services.c.deleted_at,
        events.c.envelope,
        attempts.c.nonce,
    )
    .select_from(queue)
    .join(executions, executions.c.id == queue.c.execution_id)
    .join(services, services.c.uid == executions.c.service_uid)
    .join(events, events.c.key == executions.c.event_key)
    .outerjoin(attempts, (attempts.c.execution_id == executions.c.id) & (attempts.c.number == executions.c.attempt))
    .where(
        queue.c.service_uid == bindparam("service_uid"),
        queue.c.not_before_at <= bindparam("time"),
        executions.c.state == State.PENDING.value,
    )
    .order_by(queue.c.not_before_at, queue.c.execution_id)
    .limit(bindparam("count"))
    # What is being cancelled at this moment is left to whoever does it.
    .with_for_update(of=executions, skip_locked=True)
)
_lease_again = (
    update(attempts)
    .where(attempts.c.execution_id == bindparam("of"), attempts.c.number == bindparam("attempt"))
    .values(token=bindparam("new_token"), epoch=bindparam("new_epoch"), lease_until=bindparam("new_until"))
)
_held = (
    select(executions.c.state, executions.c.attempt, attempts.c.token)
    .join(attempts, attempts.c.execution_id == executions.c.id)
    .where(executions.c.id == bindparam("of"), attempts.c.number == bindparam("attempt"))
    # Both: who waits for the one alone finds the other as it was before.
    .with_for_update(of=[executions, attempts])
)
_to_take_back = (
    select(executions.c.state, executions.c.service_uid, executions.c.tenant)
    .where(executions.c.id == bindparam("of"))
    .with_for_update()
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
        leased.extend(_lease_all(connection, ready, epoch, time + lease_ms))
    return leased


def _in_time(connection: Connection, service_uid: str, count: int, limit: int | None, time: int) -> list[Any]:
    """Return up to `count` ready executions that may still begin; end those that may not.

    Of a service that was deleted nothing may begin; what waits for it is ended PER_UNIT at a time (ends.py).
    """
    parameters = {"service_uid": service_uid, "time": time, "count": count}
    while True:
        ready = list(connection.execute(_ready, parameters))
        if ready and ready[0].deleted_at is not None:
            ends.cancel_service(connection, service_uid, running_too=False)
            return []
        late = [row.id for row in ready if expiry.is_overdue(row.created_at, row.first_submit_at, limit, time)]
        if not late or limit is None:
            return ready
        expiry.end(connection, late, limit, time)


def _lease_all(connection: Connection, ready: Sequence[Any], epoch: int, until: int) -> list[Leased]:
    """Lease what is ready of one service: a few statements, however many."""
    if not ready:
        return []
    leased = [_leased(row, until) for row in ready]
    is_new = {row.id for row in ready if row.nonce is None}
    rows = [
        {
            "execution_id": one.execution,
            "number": one.attempt,
            "nonce": one.nonce,
            "token": one.token,
            "epoch": epoch,
            "lease_until": until,
        }
        for one in leased
    ]
    insert_rows(connection, attempts, [row for row in rows if row["execution_id"] in is_new])
    for one in leased:
        if one.execution not in is_new:
            values = {"new_token": one.token, "new_epoch": epoch, "new_until": until}
            connection.execute(_lease_again, {"of": one.execution, "attempt": one.attempt, **values})
    ids = [one.execution for one in leased]
    revision = func.coalesce(executions.c.revision, ready[0].present)
    move_all(connection, ids, State.PENDING, State.LEASED, {executions.c.revision: revision})
    connection.execute(delete(queue).where(among(connection.dialect.name, queue.c.execution_id, "of")), {"of": ids})
    return leased


def _leased(row: Any, until: int) -> Leased:
    return Leased(
        execution=row.id,
        attempt=row.attempt,
        nonce=row.nonce if row.nonce is not None else secrets.token_hex(8),
        token=secrets.token_hex(8),
        lease_until=until,
        tenant=row.tenant,
        service_uid=row.service_uid,
        service=row.service,
        revision=row.revision if row.revision is not None else row.present,
        envelope=row.envelope,
    )


def give_back(connection: Connection, epoch: int, held: Leased, reason: str, not_before_ms: int = 0) -> None:
    """Return a leased execution to the queue with the same attempt: it was not submitted. Raises FencedError.

    not_before_ms: how long to wait before it may be leased again.
    """
    roles.require(connection, SCHEDULER, epoch)
    row = connection.execute(_held, {"of": held.execution, "attempt": held.attempt}).one()
    if row.token != held.token or row.attempt != held.attempt:
        raise FencedError(f"the lease of run {held.execution}, attempt {held.attempt}, is over")
    if row.state == State.PENDING:
        return  # it was given back before, and the answer lost
    _requeue(connection, held.execution, held.service_uid, held.tenant, reason, now(connection) + not_before_ms)


def take_back(connection: Connection, epoch: int, execution: str, reason: str) -> None:
    """Return to the queue what an earlier holder of the role leased and never submitted: same attempt, new token."""
    roles.require(connection, SCHEDULER, epoch)
    row = connection.execute(_to_take_back, {"of": execution}).one()
    if row.state == State.PENDING:
        return  # it was taken back before, and the answer lost
    _requeue(connection, execution, row.service_uid, row.tenant, reason, now(connection))


def take_back_unheard(connection: Connection, epoch: int, heard: Collection[str]) -> list[str]:
    """Return to the queue what this epoch leased, but for what its holder heard of; return the ids.

    What is left are leases whose answer was lost on the way to the holder. Raises FencedError.
    """
    query = (
        select(executions.c.id)
        .join(attempts, (attempts.c.execution_id == executions.c.id) & (attempts.c.number == executions.c.attempt))
        .where(is_in_flight, executions.c.state == State.LEASED, attempts.c.epoch == epoch)
        .order_by(executions.c.id)
    )
    unheard = [execution for execution in connection.scalars(query) if execution not in heard]
    for execution in unheard:
        take_back(connection, epoch, execution, "leased, but the answer was lost")
    return unheard


def _requeue(
    connection: Connection, execution: str, service_uid: str, tenant: str, reason: str, not_before: int
) -> None:
    deleted_at = connection.scalar(select(services.c.deleted_at).where(services.c.uid == service_uid))
    if deleted_at is not None:
        ended = {"reason": SERVICE_DELETED, "ended_at": now(connection)}
        move(connection, execution, State.LEASED, State.CANCELLED, **ended)
        return
    move(connection, execution, State.LEASED, State.PENDING, reason=reason)
    requeue(connection, [(execution, service_uid, tenant, not_before)])


def repair(connection: Connection, epoch: int) -> list[str]:
    """Queue what is pending and not in the queue; return its ids. There should be none: each one is an alarm."""
    roles.require(connection, SCHEDULER, epoch)
    query = (
        select(executions.c.id, executions.c.service_uid, executions.c.tenant)
        .outerjoin(queue, queue.c.execution_id == executions.c.id)
        .where(is_live, executions.c.state == State.PENDING, queue.c.execution_id.is_(None))
        .order_by(executions.c.service_uid, executions.c.id)
        .with_for_update(of=executions)
    )
    found = connection.execute(query).all()
    enqueue(connection, ((row.id, row.service_uid, row.tenant) for row in found), now(connection))
    return [row.id for row in found]
