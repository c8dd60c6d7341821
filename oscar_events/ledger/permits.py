"""The permit: the use of a lease, after which an attempt may start.

In:  the scheduler's epoch, leases it holds, what each job was specified as. Out: `leased -> submitted`, or why not.
Not here: the leases (leases.py), asking for permits (oscar_dispatcher/schedule.py, backends/).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, select

from oscar_events.errors import FencedError
from oscar_events.execution import State
from oscar_events.ledger import roles
from oscar_events.ledger.leases import Leased
from oscar_events.ledger.moves import Move, move_each
from oscar_events.ledger.port import now
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.rows import among, update_rows
from oscar_events.ledger.tables import attempts, executions


@cache
def _leased(dialect: str) -> Select[Any]:
    """Return the query for attempts and their executions: `of` the executions, `numbers` of any of the attempts.

    Both rows are locked: who waits for the one alone finds the other as it was before.
    """
    return (
        select(
            executions.c.id,
            executions.c.state,
            executions.c.attempt,
            executions.c.first_submit_at,
            executions.c.cancel_requested,
            attempts.c.number,
            attempts.c.token,
            attempts.c.lease_until,
            attempts.c.spec_hash,
            attempts.c.submitted_at,
            attempts.c.ended_at,
            roles.scheduler_epoch,
        )
        .join(attempts, attempts.c.execution_id == executions.c.id)
        .where(among(dialect, executions.c.id, "of"), among(dialect, attempts.c.number, "numbers"))
        .order_by(executions.c.id, attempts.c.number)
        .with_for_update(of=[executions, attempts])
    )


def submit(connection: Connection, epoch: int, held: Leased, spec_hash: str, host: str = "") -> bool:
    """Commit `leased -> submitted`; True if the attempt may start. False if a cancel came first, and then it is final.

    host: where its processes are, if only from there it can be told that they have ended.
    Raises FencedError when the role has passed to somebody else, when the lease has or its time is over, or when this
    attempt was specified otherwise before: what would be submitted is not what the ledger has under this name.
    """
    (found,) = submit_all(connection, epoch, [(held, spec_hash)], host)
    if isinstance(found, FencedError):
        raise found
    return found


def submit_all(
    connection: Connection, epoch: int, wanted: Sequence[tuple[Leased, str]], host: str = ""
) -> list[bool | FencedError]:
    """Do as `submit` for each lease and the hash of its job, one of each execution at most: a few statements in all.

    Return what each came to; a FencedError if it is about that lease. Raises one if the role is somebody else's.
    """
    asked = {"of": [held.execution for held, _ in wanted], "numbers": sorted({held.attempt for held, _ in wanted})}
    rows = {(row.id, row.number): row for row in connection.execute(_leased(connection.dialect.name), asked)}
    time = now(connection)
    answers: list[bool | FencedError] = []
    moves: list[Move] = []
    submitted: list[tuple[Leased, str]] = []
    for held, spec_hash in wanted:
        row = rows.get((held.execution, held.attempt))
        if row is not None:
            roles.check(SCHEDULER, row.scheduler_epoch, epoch)
        answer = _answer(row, held, spec_hash, time)
        if answer is None:  # no longer a question: it is permitted, or cancelled, with this transaction
            assert row is not None
            answer = not row.cancel_requested
            moves.append(_move(held.execution, row, time))
            submitted += [(held, spec_hash)] if answer else []
        answers.append(answer)
    update_rows(
        connection,
        attempts,
        [{"execution_id": held.execution, "number": held.attempt} for held, _ in submitted],
        [{"submitted_at": time, "spec_hash": spec_hash, "host": host or None} for _, spec_hash in submitted],
    )
    move_each(connection, moves)
    return answers


def _answer(row: Any, held: Leased, spec_hash: str, time: int) -> bool | FencedError | None:
    """Return what is known without a move: the answer given before, or a refusal; None if it is leased and in time."""
    over = FencedError(f"the lease of run {held.execution}, attempt {held.attempt}, is over")
    if row is None or row.token != held.token:
        return over
    if row.attempt == held.attempt and row.ended_at is None:
        # Asked again: the first time it was committed, and the answer lost.
        if row.state in (State.SUBMITTED, State.RUNNING) and row.spec_hash == spec_hash:
            return True
        if row.state == State.CANCELLED and row.submitted_at is None:
            return False
    if row.state != State.LEASED or row.lease_until < time:
        return over
    if row.spec_hash not in (None, spec_hash):
        return FencedError(f"run {held.execution}, attempt {held.attempt}, was specified otherwise before")
    return None


def _move(execution: str, row: Any, time: int) -> Move:
    if row.cancel_requested:
        columns = {"reason": "cancelled before it started", "ended_at": time}
        return Move(execution, State.LEASED, State.CANCELLED, columns)
    # Why it waited, or failed before, is no news of this attempt.
    columns = {"reason": "", "first_submit_at": row.first_submit_at or time}
    return Move(execution, State.LEASED, State.SUBMITTED, columns)
