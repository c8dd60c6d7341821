"""Executions as people and scripts see them: a run.

In:  rows of executions and attempts. Out: dictionaries of plain JSON values, the same in the command line, the HTTP
front and on the topics `oscar.executions` and `oscar.deadletter`.
Not here: changing anything (leases.py, ends.py).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select, tuple_

from oscar_events.codec import iso, key_of
from oscar_events.errors import NotFoundError
from oscar_events.execution import IN_FLIGHT, State
from oscar_events.identity import EXECUTION_ID_LENGTH
from oscar_events.ledger.tables import attempts, executions, is_in_flight, is_listed_by_state
from oscar_events.paths import printable

RUN_COLUMNS = (
    executions.c.id,
    executions.c.service,
    executions.c.tenant,
    executions.c.state,
    executions.c.attempt,
    executions.c.event_id,
    executions.c.bucket,
    executions.c.subject,
    executions.c.created_at,
    executions.c.started_at,
    executions.c.ended_at,
    executions.c.exit_code,
    executions.c.failure,
    executions.c.reason,
    executions.c.outputs,
    executions.c.cancel_requested,
    executions.c.redrive_of,
    executions.c.replay,
    executions.c.purged_at,
)
run_rows: Select[Any] = select(*RUN_COLUMNS)


def view(row: Row[Any]) -> dict[str, Any]:
    """Return the run as JSON values: times in ISO 8601 UTC, outputs as `bucket/key`, the key as text."""
    return {
        "id": row.id,
        "service": row.service,
        "tenant": row.tenant,
        "state": row.state,
        "attempt": row.attempt,
        "event_id": row.event_id,
        "bucket": row.bucket,
        "key": printable(key_of(row.subject)),
        "created_at": _time(row.created_at),
        "started_at": _time(row.started_at),
        "ended_at": _time(row.ended_at),
        "exit_code": row.exit_code,
        "failure": row.failure,
        "reason": row.reason,
        "cancel_requested": row.cancel_requested,
        "outputs": json.loads(row.outputs or "[]"),
        "redrive_of": row.redrive_of,
        "replay": row.replay,
        "purged_at": _time(row.purged_at),
    }


def page(
    connection: Connection,
    *,
    service: str | None = None,
    state: str | None = None,
    limit: int | None = None,
    before: str | None = None,
) -> list[dict[str, Any]]:
    """Return runs, newest first. before: the id of the last run of the page before (keyset pagination)."""
    query = run_rows.order_by(executions.c.created_at.desc(), executions.c.id.desc())
    if service is not None:
        query = query.where(executions.c.service == service)
    if state is not None:
        query = query.where(_is_in(state))
    if before is not None:
        here = select(executions.c.created_at, executions.c.id).where(executions.c.id == before)
        last = connection.execute(here).one_or_none()
        if last is None:
            raise NotFoundError(f"there is no run {before} to list on from")
        query = query.where(tuple_(executions.c.created_at, executions.c.id) < tuple_(last.created_at, last.id))
    if limit is not None:
        query = query.limit(limit)
    return [view(row) for row in connection.execute(query)]


def _is_in(state: str) -> ColumnElement[bool]:
    """Return the condition in the words of the index that has the state: a rare one is found among millions at once."""
    wanted = executions.c.state == state
    if state in IN_FLIGHT:
        return wanted & executions.c.id.in_(select(executions.c.id).where(is_in_flight).correlate(None))
    return wanted if state == State.SUCCEEDED else wanted & is_listed_by_state


def show(connection: Connection, run: str) -> dict[str, Any]:
    """Return one run with its attempts. run: its id, or the first characters of it. Raises NotFoundError."""
    found = connection.execute(run_rows.where(executions.c.id == find(connection, run))).one()
    rows = connection.execute(select(attempts).where(attempts.c.execution_id == found.id).order_by(attempts.c.number))
    attempted = [_attempt(row) for row in rows]
    return {**view(found), "redriven_as": successor(connection, found.id), "attempts": attempted}


def successor(connection: Connection, execution: str) -> str | None:
    """Return the execution that a dead one was sent again as, None if it was not."""
    found = connection.scalar(select(executions.c.id).where(executions.c.redrive_of == execution))
    return None if found is None else str(found)


def find(connection: Connection, run: str) -> str:
    """Return the id that run is, or is the beginning of. Raises NotFoundError when none or several are meant."""
    # A range instead of LIKE, so that the primary key serves and no wildcard is in it; its end is the greatest id there
    # can be, as databases that sort as people do pass over characters that are not in words.
    query = select(executions.c.id).where(
        executions.c.id >= run, executions.c.id <= run.ljust(EXECUTION_ID_LENGTH, "z")
    )
    ids = [row.id for row in connection.execute(query.limit(2)) if row.id.startswith(run)]
    if run in ids or (len(ids) == 1 and run):
        return run if run in ids else str(ids[0])
    raise NotFoundError(f"several runs begin with {run!r}; give more of the id" if ids else f"there is no run {run!r}")


def log(connection: Connection, run: str, attempt: int | None = None) -> tuple[str, int, bytes | None]:
    """Return (execution, attempt, its log; None while nothing is recorded). attempt: the newest unless given."""
    execution = find(connection, run)
    query = select(attempts.c.number, attempts.c.log).where(attempts.c.execution_id == execution)
    query = query.where(attempts.c.number == attempt) if attempt is not None else query
    found = connection.execute(query.order_by(attempts.c.number.desc()).limit(1)).one_or_none()
    if found is None and attempt is not None:
        raise NotFoundError(f"run {execution} has no attempt {attempt}")
    return (execution, found.number, found.log) if found else (execution, 1, None)


def state(connection: Connection, execution: str) -> State:
    """Return where an execution is."""
    return State(connection.execute(select(executions.c.state).where(executions.c.id == execution)).scalar_one())


def in_flight(connection: Connection) -> list[Row[Any]]:
    """Return (id, attempt, state, service_uid, revision, nonce, token, host) of all a backend may hold something of."""
    query = (
        select(
            executions.c.id,
            executions.c.attempt,
            executions.c.state,
            executions.c.service_uid,
            executions.c.revision,
            attempts.c.nonce,
            attempts.c.token,
            attempts.c.host,
        )
        .join(
            attempts,
            (attempts.c.execution_id == executions.c.id) & (attempts.c.number == executions.c.attempt),
        )
        .where(is_in_flight)
        .order_by(executions.c.id)
    )
    return list(connection.execute(query))


def _attempt(row: Row[Any]) -> dict[str, Any]:
    return {
        "number": row.number,
        "submitted_at": _time(row.submitted_at),
        "started_at": _time(row.started_at),
        "ended_at": _time(row.ended_at),
        "outcome": row.outcome,
        "failure": row.failure,
        "exit_code": row.exit_code,
        "reason": row.reason or "",
    }


def _time(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else iso(datetime.fromtimestamp(milliseconds / 1000, UTC))
