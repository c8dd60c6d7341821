"""The one place where an execution's state is written, and where what is pending is queued.

In:  an execution, where it is and where it goes. Out: the row moved, and its end put in the outbox if it is one.
Not here: which move is right (execution.py has the table; leases.py and ends.py know the occasions).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from oscar_events.errors import MoveRefusedError
from oscar_events.execution import State, check_move
from oscar_events.ledger import outbox
from oscar_events.ledger.rows import among, insert_rows, update_rows
from oscar_events.ledger.runs import RUN_COLUMNS, run_rows, view
from oscar_events.ledger.tables import executions, queue


@dataclass(frozen=True, slots=True)
class Move:
    """An execution, where it is and where it goes, and the columns that are set as well."""

    execution: str
    here: State
    there: State
    columns: Mapping[str, Any]


def move(connection: Connection, execution: str, here: State, there: State, **columns: Any) -> None:
    """Take the execution from here to there, setting the columns as well.

    Raises MoveRefusedError if the move is not in the table, or if the execution is not where the caller believed.
    """
    check_move(execution, here, there)
    parameters = {"of": execution, "here": here.value, "state": there.value, **columns}
    moved = connection.execute(_statement(tuple(columns)), parameters).one_or_none()
    if moved is None:
        raise MoveRefusedError(f"run {execution} was not {here} any more when it was to become {there}")
    if there.is_terminal:
        outbox.tell(connection, [view(moved)])


def move_each(connection: Connection, moves: Sequence[Move]) -> None:
    """Take executions wherever each goes: a few statements, however many.

    Raises MoveRefusedError as `move`; then some have moved, until the unit is undone.
    """
    if len(moves) == 1:
        (one,) = moves
        move(connection, one.execution, one.here, one.there, **one.columns)
        return
    alike: dict[tuple[str, ...], list[Move]] = {}
    for one in moves:
        check_move(one.execution, one.here, one.there)
        alike.setdefault(tuple(one.columns), []).append(one)
    for some in alike.values():
        where = [{"id": one.execution, "state": one.here.value} for one in some]
        changed = [{"state": one.there.value, **one.columns} for one in some]
        if update_rows(connection, executions, where, changed) != len(some):
            names = ", ".join(one.execution for one in some)
            raise MoveRefusedError(f"one of the runs {names} was not any more where it was believed to be")
    ended = sorted(one.execution for one in moves if one.there.is_terminal)
    if ended:
        of_them = among(connection.dialect.name, executions.c.id, "of")
        rows = connection.execute(run_rows.where(of_them).order_by(executions.c.id), {"of": ended})
        outbox.tell(connection, [view(row) for row in rows])


def end_queued(connection: Connection, moves: Sequence[Move]) -> None:
    """End pending executions, and take them out of the queue. Raises MoveRefusedError as `move_each`."""
    if not moves:
        return
    of_them = among(connection.dialect.name, queue.c.execution_id, "of")
    connection.execute(delete(queue).where(of_them), {"of": [one.execution for one in moves]})
    move_each(connection, moves)


# Whom a scheduler elsewhere is told on that there is work, or something to cancel (`Ledger.on_work`).
CHANNEL = "oscar_events_work"
_notify = select(func.pg_notify(CHANNEL, ""))

# Why nothing more is started of a service that was deleted.
SERVICE_DELETED = "its service was deleted"


def move_all(
    connection: Connection, wanted: Sequence[str], here: State, there: State, values: Mapping[Any, Any]
) -> None:
    """Take executions from here to there at once, to a state that is not told of.

    values: columns to set as well, each with its value or expression. Raises MoveRefusedError if one of them may not
    go there, or is not where the caller believed; then none has moved once the unit is undone.
    """
    if not wanted:
        return
    check_move(wanted[0], here, there)
    assert not there.is_terminal
    of_them = among(connection.dialect.name, executions.c.id, "of") & (executions.c.state == here.value)
    statement = update(executions).where(of_them).values({executions.c.state: there.value, **values})
    if connection.execute(statement, {"of": list(wanted)}).rowcount != len(wanted):
        raise MoveRefusedError(f"one of the runs {', '.join(wanted)} was not {here} any more when to become {there}")


def enqueue(connection: Connection, pending: Iterable[tuple[str, str, str]], not_before_at: int) -> None:
    """Queue executions, each as (id, service uid, tenant), to be leased no earlier than not_before_at, ms.

    Whoever makes an execution pending does this, or `requeue`, in the same transaction: each pending one has one row.
    The scheduler is woken, wherever it is.
    """
    rows = [(execution, uid, tenant, not_before_at) for execution, uid, tenant in pending]
    requeue(connection, rows)
    if rows:
        tell_scheduler(connection)


def requeue(connection: Connection, pending: Iterable[tuple[str, str, str, int]]) -> None:
    """Queue what the scheduler itself puts back, each with a time of its own: it need not be told."""
    names = ("execution_id", "service_uid", "tenant", "not_before_at")
    insert_rows(connection, queue, [dict(zip(names, one, strict=True)) for one in pending])


def tell_scheduler(connection: Connection) -> None:
    """Wake whoever listens with `Ledger.on_work` once this transaction is committed."""
    if connection.dialect.name == "postgresql":
        connection.execute(_notify)


@cache
def _statement(columns: tuple[str, ...]) -> Any:
    """Return the update that sets these columns; built once for each set, since building costs more than running."""
    matches = (executions.c.id == bindparam("of")) & (executions.c.state == bindparam("here"))
    values: dict[str, Any] = {name: bindparam(name) for name in ("state", *columns)}
    return update(executions).where(matches).values(values).returning(*RUN_COLUMNS)
