"""The one place where an execution's state is written, and where what is pending is queued.

In:  an execution, where it is and where it goes. Out: the row moved, and its end put in the outbox if it is one.
Not here: which move is right (execution.py has the table; leases.py and ends.py know the occasions).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, insert, update

from oscar_events.errors import MoveRefusedError
from oscar_events.execution import State, check_move
from oscar_events.ledger import outbox
from oscar_events.ledger.runs import RUN_COLUMNS, view
from oscar_events.ledger.tables import executions, queue


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
        outbox.tell(connection, view(moved))


_enqueue = insert(queue)

# Why nothing more is started of a service that was deleted.
SERVICE_DELETED = "its service was deleted"


def enqueue(connection: Connection, pending: Iterable[tuple[str, str, str]], not_before_at: int) -> None:
    """Queue executions, each as (id, service uid, tenant), to be leased no earlier than not_before_at, ms.

    Whoever makes an execution pending does this in the same transaction: each pending one has one row.
    """
    rows = [
        {"execution_id": execution, "service_uid": uid, "tenant": tenant, "not_before_at": not_before_at}
        for execution, uid, tenant in pending
    ]
    if rows:
        connection.execute(_enqueue, rows)


@cache
def _statement(columns: tuple[str, ...]) -> Any:
    """Return the update that sets these columns; built once for each set, since building costs more than running."""
    matches = (executions.c.id == bindparam("of")) & (executions.c.state == bindparam("here"))
    values: dict[str, Any] = {name: bindparam(name) for name in ("state", *columns)}
    return update(executions).where(matches).values(values).returning(*RUN_COLUMNS)
