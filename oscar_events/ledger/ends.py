"""The end of an attempt: succeeded, tried again, or given up; and the cancelling of runs.

In:  what the backend and the supervisor said of an attempt, or a person's wish. Out: the execution moved accordingly.
Not here: which failure is tried again (retry.py), asking a backend to stop something (oscar_dispatcher/watch.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from oscar_events.errors import ConflictError, FencedError
from oscar_events.execution import State
from oscar_events.job import FailureClass, Outcome, Report
from oscar_events.ledger import roles
from oscar_events.ledger.moves import SERVICE_DELETED, enqueue, move
from oscar_events.ledger.port import now
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.tables import attempts, executions, is_in_flight, is_live, queue, services
from oscar_events.retry import GiveUp, next_try
from oscar_events.service import RetrySettings


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended. report: None if the supervisor said nothing, then reason says what is known instead."""

    execution: str
    attempt: int
    nonce: str
    report: Report | None
    reason: str
    log: bytes


_row = (
    select(
        executions.c.state,
        executions.c.attempt,
        executions.c.tenant,
        executions.c.service_uid,
        executions.c.first_submit_at,
        executions.c.cancel_requested,
        attempts.c.nonce,
        attempts.c.ended_at,
        services.c.deleted_at,
        roles.scheduler_epoch,
    )
    .join(attempts, attempts.c.execution_id == executions.c.id)
    .join(services, services.c.uid == executions.c.service_uid)
    .where(executions.c.id == bindparam("of"), attempts.c.number == bindparam("number"))
)
_end_attempt = (
    update(attempts)
    .where(attempts.c.execution_id == bindparam("of"), attempts.c.number == bindparam("attempt"))
    .values(
        {
            name: bindparam(name)
            for name in ("started_at", "ended_at", "outcome", "failure", "reason", "exit_code", "log")
        }
    )
)


def end(connection: Connection, epoch: int, ended: AttemptEnd, retry: RetrySettings, jitter: float) -> State | None:
    """Record the end of the attempt and move its execution; return where to, None if this end was recorded before.

    The attempt number grows here and nowhere else. Raises FencedError if the role or the attempt is somebody else's.
    """
    row = connection.execute(_row, {"of": ended.execution, "number": ended.attempt}).one_or_none()
    if row is None or row.nonce != ended.nonce:
        raise FencedError(f"no attempt {ended.attempt} of run {ended.execution} has this nonce")
    roles.check(SCHEDULER, row.scheduler_epoch, epoch)
    if row.ended_at is not None:
        return None
    time = now(connection)
    facts = _facts(ended, time)
    connection.execute(_end_attempt, {"of": ended.execution, "attempt": ended.attempt, **facts, "log": ended.log})
    here = State(row.state)
    columns = {name: facts[name] for name in ("started_at", "failure", "exit_code", "reason")}
    if facts["outcome"] == Outcome.SUCCEEDED:
        outputs = json.dumps([f"{one.bucket}/{one.key}" for one in ended.report.outputs] if ended.report else [])
        move(connection, ended.execution, here, State.SUCCEEDED, **columns, ended_at=time, outputs=outputs)
        return State.SUCCEEDED
    if facts["outcome"] == Outcome.CANCELLED or row.cancel_requested:
        move(connection, ended.execution, here, State.CANCELLED, **columns, ended_at=time)
        return State.CANCELLED
    return _retry_or_give_up(connection, ended, row, columns, retry, jitter, time)


def _facts(ended: AttemptEnd, time: int) -> dict[str, Any]:
    report = ended.report
    if report is None:
        return {
            "outcome": Outcome.FAILED.value,
            "failure": FailureClass.INFRASTRUCTURE.value,
            "reason": ended.reason,
            "exit_code": None,
            "started_at": None,
            "ended_at": time,
        }
    return {
        "outcome": report.outcome.value,
        "failure": report.failure.value if report.failure else None,
        "reason": report.reason,
        "exit_code": report.exit_code,
        "started_at": None if report.started_at is None else int(report.started_at * 1000),
        "ended_at": time,
    }


def _retry_or_give_up(
    connection: Connection,
    ended: AttemptEnd,
    row: Any,
    columns: dict[str, Any],
    retry: RetrySettings,
    jitter: float,
    time: int,
) -> State:
    here = State(row.state)
    first = row.first_submit_at or time
    again = next_try(FailureClass(columns["failure"]), ended.attempt, _moment(first), _moment(time), retry, jitter)
    if isinstance(again, GiveUp):
        columns["reason"] = f"{columns['reason']}; {again.reason}"
        move(connection, ended.execution, here, State.DEAD, **columns, ended_at=time)
        return State.DEAD
    if row.deleted_at is not None:
        columns["reason"] = f"{columns['reason']}; not tried again: {SERVICE_DELETED}"
        move(connection, ended.execution, here, State.CANCELLED, **columns, ended_at=time)
        return State.CANCELLED
    move(connection, ended.execution, here, State.PENDING, **columns, attempt=ended.attempt + 1)
    enqueue(connection, [(ended.execution, row.service_uid, row.tenant)], int(again.timestamp() * 1000))
    return State.PENDING


def started(connection: Connection, epoch: int, execution: str, attempt: int, at_ms: int) -> None:
    """Note that the script runs. Lazily: nothing depends on it, so a note that comes late is dropped."""
    roles.require(connection, SCHEDULER, epoch)
    row = connection.execute(select(executions.c.state, executions.c.attempt).where(executions.c.id == execution)).one()
    if row.state == State.SUBMITTED and row.attempt == attempt:
        move(connection, execution, State.SUBMITTED, State.RUNNING, started_at=at_ms)
        of_it = (attempts.c.execution_id == execution) & (attempts.c.number == attempt)
        connection.execute(update(attempts).where(of_it).values(started_at=at_ms))


def reject(connection: Connection, epoch: int, execution: str, reason: str) -> None:
    """Make a dead letter of a leased execution whose job can never be: nothing of it was submitted."""
    roles.require(connection, SCHEDULER, epoch)
    columns = {"failure": FailureClass.PERMANENT.value, "reason": reason, "ended_at": now(connection)}
    move(connection, execution, State.LEASED, State.DEAD, **columns)


def cancel(connection: Connection, execution: str, reason: str) -> State:
    """Cancel a run at once if nothing of it can be running, else request it; return its state after that.

    A pending run has no attempt that could run: none was submitted, or the last one's end is recorded. Whether a
    request came in time is known when the attempt ends: what had been published by then has succeeded.
    Raises ConflictError if the run has ended.
    """
    state = State(connection.execute(select(executions.c.state).where(executions.c.id == execution)).scalar_one())
    if state.is_terminal:
        raise ConflictError(f"run {execution} has ended already: {state}")
    if state is State.PENDING:
        connection.execute(delete(queue).where(queue.c.execution_id == execution))
        move(connection, execution, State.PENDING, State.CANCELLED, reason=reason, ended_at=now(connection))
        return State.CANCELLED
    connection.execute(update(executions).where(executions.c.id == execution).values(cancel_requested=True))
    return state


def cancel_service(connection: Connection, uid: str, *, running_too: bool) -> Sequence[str]:
    """Cancel what waits for a service that ended, and on request what runs; return the ids concerned."""
    rows = select(executions.c.id, executions.c.state).where(executions.c.service_uid == uid, is_live)
    concerned = [row.id for row in connection.execute(rows) if running_too or row.state == State.PENDING]
    for execution in concerned:
        cancel(connection, execution, SERVICE_DELETED)
    return concerned


def live(connection: Connection, uid: str) -> list[str]:
    """Return the runs of a service that have not ended."""
    return list(connection.scalars(select(executions.c.id).where(executions.c.service_uid == uid, is_live)))


def cancels(connection: Connection) -> list[tuple[str, int]]:
    """Return (execution, attempt) of the requested cancels that the backend may still have to hear of."""
    query = select(executions.c.id, executions.c.attempt).where(
        is_in_flight, executions.c.cancel_requested, executions.c.state != State.LEASED
    )
    return [(row.id, row.attempt) for row in connection.execute(query)]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
