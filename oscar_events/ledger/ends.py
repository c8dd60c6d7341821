"""The end of an attempt: succeeded, tried again, or given up; and the cancelling of runs.

In:  what the backend and the supervisor said of an attempt, or a person's wish. Out: the execution moved accordingly.
Not here: which failure is tried again (retry.py), asking a backend to stop something (oscar_dispatcher/watch.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, update

from oscar_events.errors import ConflictError, FencedError
from oscar_events.execution import State
from oscar_events.job import FailureClass, Outcome, Report
from oscar_events.ledger import roles
from oscar_events.ledger.moves import (
    SERVICE_DELETED,
    Move,
    end_queued,
    move,
    move_each,
    requeue,
    tell_scheduler,
)
from oscar_events.ledger.port import now
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.rows import among, update_rows
from oscar_events.ledger.tables import attempts, executions, is_in_flight, is_live, services
from oscar_events.retry import GiveUp, next_try
from oscar_events.service import RetrySettings

# Runs of a deleted service that are cancelled in one unit: some tens of milliseconds, so that no number of them takes
# longer than a unit may.
PER_UNIT = 1000


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended. report: None if the supervisor said nothing, then reason says what is known instead."""

    execution: str
    attempt: int
    nonce: str
    report: Report | None
    reason: str
    log: bytes


@dataclass(frozen=True, slots=True)
class ToRecord:
    """An end that is to be recorded. retry: of the service at the run's revision. jitter: see retry.py."""

    ended: AttemptEnd
    retry: RetrySettings
    jitter: float


_COLUMNS = (
    executions.c.id,
    executions.c.state,
    executions.c.tenant,
    executions.c.service_uid,
    executions.c.first_submit_at,
    executions.c.cancel_requested,
    attempts.c.number,
    attempts.c.nonce,
    attempts.c.ended_at,
    attempts.c.started_at,
    services.c.deleted_at,
    roles.scheduler_epoch,
)


@cache
def _ended(dialect: str) -> Select[Any]:
    """Return the query for attempts and their executions: `of` the executions, `numbers` of any of the attempts.

    Both rows are locked: who waits for the one alone finds the other as it was before.
    """
    return (
        select(*_COLUMNS)
        .join(attempts, attempts.c.execution_id == executions.c.id)
        .join(services, services.c.uid == executions.c.service_uid)
        .where(among(dialect, executions.c.id, "of"), among(dialect, attempts.c.number, "numbers"))
        .order_by(executions.c.id, attempts.c.number)
        .with_for_update(of=[executions, attempts])
    )


_state = select(executions.c.state, executions.c.attempt).where(executions.c.id == bindparam("of")).with_for_update()


def end(connection: Connection, epoch: int, ended: AttemptEnd, retry: RetrySettings, jitter: float) -> State | None:
    """Record the end of the attempt and move its execution; return where to, None if this end was recorded before.

    The attempt number grows here and nowhere else. Raises FencedError if the role or the attempt is somebody else's.
    """
    (found,) = end_all(connection, epoch, [ToRecord(ended, retry, jitter)])
    if isinstance(found, FencedError):
        raise found
    return found


def end_all(connection: Connection, epoch: int, wanted: Sequence[ToRecord]) -> list[State | FencedError | None]:
    """Record ends as `end` does, one of each execution at most: a few statements, however many.

    Return what each came to; a FencedError if that attempt is somebody else's. Raises one if the role is.
    """
    query = _ended(connection.dialect.name)
    asked = {"of": [one.ended.execution for one in wanted], "numbers": sorted({one.ended.attempt for one in wanted})}
    rows = {(row.id, row.number): row for row in connection.execute(query, asked)}
    time = now(connection)
    answers: list[State | FencedError | None] = []
    facts: list[tuple[AttemptEnd, dict[str, Any]]] = []
    moves: list[Move] = []
    again: list[tuple[str, str, str, int]] = []
    for one in wanted:
        row = rows.get((one.ended.execution, one.ended.attempt))
        if row is None or row.nonce != one.ended.nonce:
            what = f"no attempt {one.ended.attempt} of run {one.ended.execution} has this nonce"
            answers.append(FencedError(what))
            continue
        roles.check(SCHEDULER, row.scheduler_epoch, epoch)
        if row.ended_at is not None:
            answers.append(None)
            continue
        facts.append((one.ended, _facts(one.ended, time, row.started_at)))
        there, columns, next_at = _outcome(one, row, facts[-1][1], time)
        answers.append(there)
        moves.append(Move(one.ended.execution, State(row.state), there, columns))
        if next_at is not None:
            again.append((one.ended.execution, row.service_uid, row.tenant, next_at))
    update_rows(
        connection,
        attempts,
        [{"execution_id": ended.execution, "number": ended.attempt} for ended, _ in facts],
        [{**found, "log": ended.log} for ended, found in facts],
    )
    move_each(connection, moves)
    requeue(connection, again)
    return answers


def _outcome(one: ToRecord, row: Any, facts: Mapping[str, Any], time: int) -> tuple[State, dict[str, Any], int | None]:
    """Return where an execution goes, the columns set with that, and when it may be leased again if it may, ms."""
    report = one.ended.report
    columns = {name: facts[name] for name in ("started_at", "failure", "exit_code", "reason")}
    if facts["outcome"] == Outcome.SUCCEEDED:
        outputs = json.dumps([f"{put.bucket}/{put.key}" for put in report.outputs] if report else [])
        return State.SUCCEEDED, {**columns, "ended_at": time, "outputs": outputs}, None
    if facts["outcome"] == Outcome.CANCELLED or row.cancel_requested:
        return State.CANCELLED, {**columns, "ended_at": time}, None
    first = row.first_submit_at or time
    failure = FailureClass(columns["failure"])
    again = next_try(failure, one.ended.attempt, _moment(first), _moment(time), one.retry, one.jitter)
    if isinstance(again, GiveUp):
        columns["reason"] = f"{columns['reason']}; {again.reason}"
        return State.DEAD, {**columns, "ended_at": time}, None
    if row.deleted_at is not None:  # if it is being deleted just now, leasing finds that
        columns["reason"] = f"{columns['reason']}; not tried again: {SERVICE_DELETED}"
        return State.CANCELLED, {**columns, "ended_at": time}, None
    return State.PENDING, {**columns, "attempt": one.ended.attempt + 1}, int(again.timestamp() * 1000)


def _facts(ended: AttemptEnd, time: int, noted_at: int | None) -> dict[str, Any]:
    """noted_at: when the script was seen to start; all there is of an attempt that was cut off."""
    report = ended.report
    if report is None:
        return {
            "outcome": Outcome.FAILED.value,
            "failure": FailureClass.INFRASTRUCTURE.value,
            "reason": _storable(ended.reason),
            "exit_code": None,
            "started_at": noted_at,
            "ended_at": time,
        }
    return {
        "outcome": report.outcome.value,
        "failure": report.failure.value if report.failure else None,
        "reason": _storable(report.reason),
        "exit_code": report.exit_code,
        "started_at": None if report.started_at is None else int(report.started_at * 1000),
        "ended_at": time,
    }


def started(connection: Connection, epoch: int, execution: str, attempt: int, at_ms: int) -> None:
    """Note that the script runs. Lazily: nothing depends on it, so a note that comes late is dropped."""
    roles.require(connection, SCHEDULER, epoch)
    row = connection.execute(_state, {"of": execution}).one()
    if row.state == State.SUBMITTED and row.attempt == attempt:
        move(connection, execution, State.SUBMITTED, State.RUNNING, started_at=at_ms)
        of_it = (attempts.c.execution_id == execution) & (attempts.c.number == attempt)
        connection.execute(update(attempts).where(of_it).values(started_at=at_ms))


def reject(connection: Connection, epoch: int, execution: str, reason: str) -> None:
    """Make a dead letter of a leased execution whose job can never be: nothing of it was submitted."""
    roles.require(connection, SCHEDULER, epoch)
    if connection.execute(_state, {"of": execution}).one().state == State.DEAD:
        return  # done before, and the answer lost
    columns = {"failure": FailureClass.PERMANENT.value, "reason": reason, "ended_at": now(connection)}
    move(connection, execution, State.LEASED, State.DEAD, **columns)


def cancel(connection: Connection, execution: str, reason: str) -> State:
    """Cancel a run at once if nothing of it can be running, else request it; return its state after that.

    A pending run has no attempt that could run: none was submitted, or the last one's end is recorded. Whether a
    request came in time is known when the attempt ends: what had been published by then has succeeded.
    Raises ConflictError if the run has ended.
    """
    state = State(connection.execute(_state, {"of": execution}).one().state)
    if state.is_terminal:
        raise ConflictError(f"run {execution} has ended already: {state}")
    if state is State.PENDING:
        columns = {"reason": reason, "ended_at": now(connection)}
        end_queued(connection, [Move(execution, State.PENDING, State.CANCELLED, columns)])
        return State.CANCELLED
    connection.execute(update(executions).where(executions.c.id == execution).values(cancel_requested=True))
    tell_scheduler(connection)
    return state


def cancel_service(connection: Connection, uid: str, *, running_too: bool) -> list[str]:
    """Cancel what waits for a service that ended, and on request what runs, PER_UNIT runs at most.

    Return the ids concerned; call it again, in a unit of its own, until there are none.
    """
    pending = executions.c.state == State.PENDING.value
    rows = connection.execute(
        select(executions.c.id, executions.c.state)
        .where(executions.c.service_uid == uid, is_live, pending | ~executions.c.cancel_requested & running_too)
        .order_by(executions.c.id)
        .limit(PER_UNIT)
        .with_for_update()
    ).all()
    columns = {"reason": SERVICE_DELETED, "ended_at": now(connection)}
    waiting = [row.id for row in rows if row.state == State.PENDING]
    end_queued(connection, [Move(one, State.PENDING, State.CANCELLED, columns) for one in waiting])
    running = [row.id for row in rows if row.state != State.PENDING]
    if running:
        of_them = among(connection.dialect.name, executions.c.id, "of")
        connection.execute(update(executions).where(of_them).values(cancel_requested=True), {"of": running})
        tell_scheduler(connection)
    return [row.id for row in rows]


def live(connection: Connection, uid: str) -> list[str]:
    """Return the runs of a service that have not ended."""
    return list(connection.scalars(select(executions.c.id).where(executions.c.service_uid == uid, is_live)))


def cancels(connection: Connection) -> list[tuple[str, int]]:
    """Return (execution, attempt) of the requested cancels that the backend may still have to hear of."""
    query = select(executions.c.id, executions.c.attempt).where(
        is_in_flight, executions.c.cancel_requested, executions.c.state != State.LEASED
    )
    return [(row.id, row.attempt) for row in connection.execute(query)]


def _storable(text: str) -> str:
    """Return the text as PostgreSQL takes it, whatever a script or a storage made of it: no NUL, nothing unpaired."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
