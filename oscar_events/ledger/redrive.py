"""Dead letters: executions given up on, listed, sent again, or purged.

In:  filters, ids of runs. Out: what became of each; a new execution for every one that is sent again.
Not here: how fast they are sent (the command line), replays (replays.py), what lies in the quarantine (settled.py).

A dead letter is dead, not purged, and has not been sent again. The id of the execution it is sent again as is computed
from its own, so it is sent once however often it is asked for; that one, dead again, is a dead letter of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, select, tuple_, update

from oscar_events.errors import ConflictError, NotFoundError
from oscar_events.execution import State
from oscar_events.identity import execution_id
from oscar_events.job import FailureClass
from oscar_events.ledger.claims import insert_new
from oscar_events.ledger.moves import enqueue
from oscar_events.ledger.port import now
from oscar_events.ledger.retention import release_events
from oscar_events.ledger.rows import among
from oscar_events.ledger.runs import find, run_rows, successor, view
from oscar_events.ledger.tables import attempts, events, executions, is_dead_letter, services

# What a dead letter shows of a script's output: about a screen. The whole of it is in `logs RUN`.
LOG_TAIL_BYTES = 2048

_successor = executions.alias("successor")
_is_sent = exists(select(_successor.c.id).where(_successor.c.redrive_of == executions.c.id))


class Verdict(StrEnum):
    """What a request came to for one dead letter. ALREADY: somebody did that before."""

    DONE = "done"
    ALREADY = "already"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Filters:
    """Which dead letters are meant; None = any. since: that ended at or after this time, ms."""

    service: str | None = None
    failure: FailureClass | None = None
    since_ms: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filters that are set."""
        found: list[ColumnElement[bool]] = []
        if self.service is not None:
            found.append(executions.c.service == self.service)
        if self.failure is not None:
            found.append(executions.c.failure == self.failure.value)
        if self.since_ms is not None:
            found.append(executions.c.ended_at >= self.since_ms)
        return found


def page(
    connection: Connection, filters: Filters, limit: int | None = None, before: str | None = None
) -> list[dict[str, Any]]:
    """Return dead letters as runs, newest first. before: the id of the last one of the page before.

    That one may have been sent again meanwhile. Raises NotFoundError if it is no run.
    """
    query = (
        run_rows.where(is_dead_letter, ~_is_sent, *filters.conditions())
        .order_by(executions.c.created_at.desc(), executions.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        here = select(executions.c.created_at, executions.c.id).where(executions.c.id == before)
        last = connection.execute(here).one_or_none()
        if last is None:
            raise NotFoundError(f"there is no run {before} to list on from")
        query = query.where(tuple_(executions.c.created_at, executions.c.id) < tuple_(last.created_at, last.id))
    return [view(row) for row in connection.execute(query)]


def show(connection: Connection, run: str) -> dict[str, Any]:
    """Return a dead run, its attempts' ends with the tail of each log, its event, and what it was sent again as.

    envelope: the event as it lay on the bus, None once purged. Raises NotFoundError, ConflictError if it is not dead.
    """
    identity = find(connection, run)
    row = connection.execute(run_rows.where(executions.c.id == identity)).one()
    if row.state != State.DEAD:
        raise ConflictError(f"run {identity} is {row.state}, no dead letter; see it with `oscar-events runs show`")
    tries = connection.execute(
        select(attempts).where(attempts.c.execution_id == identity).order_by(attempts.c.number)
    ).all()
    envelope = connection.scalar(
        select(events.c.envelope)
        .join(executions, executions.c.event_key == events.c.key)
        .where(executions.c.id == identity)
    )
    return {
        **view(row),
        "attempts": [_attempt(one) for one in tries],
        "envelope": None if row.purged_at is not None else envelope,
        "redriven_as": successor(connection, identity),
        "refused": _refusal(connection, identity),
    }


def redrive(connection: Connection, ids: Sequence[str], *, same_revision: bool = False) -> list[dict[str, Any]]:
    """Send dead letters again, each for its own service; return id, verdict, reason and run (its new id) of each.

    same_revision: run what ran before; else the service as it is at the new run's first lease.
    """
    _lock(connection, ids)
    return [_redrive(connection, identity, same_revision) for identity in ids]


def purge(connection: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Give dead letters up: their logs, outputs and what events no other execution needs held go, the rows stay.

    The rows say for good that the events were processed. Return id, verdict and reason of each.
    """
    _lock(connection, ids)
    released: set[str] = set()
    answers = [_purge(connection, identity, released) for identity in ids]
    release_events(connection, released)
    return answers


_letter = select(
    executions,
    services.c.deleted_at,
    services.c.name.label("service_name"),
).join(services, services.c.uid == executions.c.service_uid)


def _redrive(connection: Connection, identity: str, same_revision: bool) -> dict[str, Any]:
    sent = successor(connection, identity)
    if sent is not None:
        return {"id": identity, "verdict": Verdict.ALREADY.value, "run": sent, "reason": "it was sent again before"}
    refusal = _refusal(connection, identity)
    if refusal:
        return {"id": identity, "verdict": Verdict.REFUSED.value, "run": None, "reason": refusal}
    old = connection.execute(select(executions).where(executions.c.id == identity)).one()
    again = execution_id(old.tenant, old.service_uid, old.event_id, "redrive", old.id)
    time = now(connection)
    row = {
        "id": again,
        "tenant": old.tenant,
        "service_uid": old.service_uid,
        "service": old.service,
        "event_id": old.event_id,
        "event_key": old.event_key,
        "bucket": old.bucket,
        "subject": old.subject,
        "input": old.input,
        "state": State.PENDING.value,
        "attempt": 1,
        "revision": old.revision if same_revision else None,
        "cancel_requested": False,
        "reason": "",
        "created_at": time,
        "redrive_of": old.id,
    }
    if insert_new(connection, [row]):
        enqueue(connection, [(again, old.service_uid, old.tenant)], time)
    return {"id": identity, "verdict": Verdict.DONE.value, "run": again, "reason": ""}


def _refusal(connection: Connection, identity: str) -> str:
    """Return why a run cannot be sent again, empty if it can."""
    row = connection.execute(_letter.where(executions.c.id == identity)).one()
    if row.state != State.DEAD:
        return f"it is {row.state}, and only dead runs are sent again"
    if row.deleted_at is not None:
        return _deleted(connection, row)
    if row.purged_at is not None:
        return (
            "it was purged, its event with it; put the object again, or replay the event while the bus has it: "
            f"`oscar-events replay --as-new --service {row.service_name} --from ...`"
        )
    return ""


def _deleted(connection: Connection, row: Any) -> str:
    namesake = connection.scalar(
        select(services.c.uid).where(
            services.c.tenant == row.tenant, services.c.name == row.service_name, services.c.deleted_at.is_(None)
        )
    )
    if namesake is None:
        return (
            f"its service {row.service_name} was deleted; apply a service that takes the object, then put the object "
            "again or replay its event to that service"
        )
    return (
        f"its service {row.service_name} was deleted, and the one of that name now is another service; to run that on "
        f"it, put the object again or replay its event: `oscar-events replay --service {row.service_name} --from ...`"
    )


def _purge(connection: Connection, identity: str, released: set[str]) -> dict[str, Any]:
    """Purge one; add the key of its event to those that may be needed no longer."""
    query = select(executions.c.state, executions.c.event_key, executions.c.purged_at)
    row = connection.execute(query.where(executions.c.id == identity)).one()
    answer = {"id": identity, "verdict": Verdict.DONE.value, "reason": ""}
    if row.state != State.DEAD:
        reason = f"it is {row.state}, and only dead runs are purged"
        return {**answer, "verdict": Verdict.REFUSED.value, "reason": reason}
    if row.purged_at is not None:
        return {**answer, "verdict": Verdict.ALREADY.value, "reason": "it was purged before"}
    of_it = executions.c.id == identity
    connection.execute(update(executions).where(of_it).values(purged_at=now(connection), outputs=None))
    connection.execute(update(attempts).where(attempts.c.execution_id == identity).values(log=None))
    released.add(row.event_key)
    return answer


def _lock(connection: Connection, ids: Sequence[str]) -> None:
    """Lock the runs, in the order of their ids: who sends or purges one of them beside us is waited for."""
    of_them = among(connection.dialect.name, executions.c.id, "of")
    query = select(executions.c.id).where(of_them).order_by(executions.c.id).with_for_update()
    connection.execute(query, {"of": list(ids)})


def _attempt(row: Any) -> dict[str, Any]:
    return {
        "number": row.number,
        "ended_at": row.ended_at,
        "failure": row.failure,
        "exit_code": row.exit_code,
        "reason": row.reason or "",
        "log_tail": (row.log or b"")[-LOG_TAIL_BYTES:],
    }
