"""What the ledger forgets, and when: first the details of a run, long after that the run itself (design §3.8).

In:  how long what is kept; the ledger as it is. Out: rows emptied or deleted, a bounded number per unit of work.
Not here: when to do it (oscar_dispatcher/forgetting.py), giving a dead letter up by hand (redrive.py, purge).

A run that ended is shown with all its details for `runs`; then its row stays as a tombstone, so that whatever still
tells of its event (the bus, a listing) finds that it was there; and after `tombstones` it goes. Nothing that lives is
touched, nor a dead letter that waits to be sent again before `dead` is over. An event's envelope goes with the last run
that has details, its row with the last run. With a tombstone goes what listings could tell its object by: from then on
no listing looks at what is as old, not even if tombstones are kept for longer later.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select, update

from oscar_events.execution import State
from oscar_events.ledger.port import now
from oscar_events.ledger.tables import (
    PURGED,
    attempts,
    events,
    executions,
    inputs,
    quarantine_settled,
    replay_positions,
    replays,
)

# Rows per unit of work: 500 take some tens of milliseconds, during which nobody waits for more than their locks.
PER_UNIT = 500

# Off a tombstone's life, for whoever concludes from there being none: an object's time is its store's clock, its run's
# the ledger's, and its event may have waited for hours.
MARGIN = timedelta(days=1)

_successor = executions.alias("successor")
_is_sent_again = exists(select(_successor.c.id).where(_successor.c.redrive_of == executions.c.id))
# What a tombstone does not have. The rest of the row (ids, service, object, state, times) is what a tombstone says.
_EMPTY: Mapping[str, Any] = {"reason": "", "outputs": None, "failure": None, "exit_code": None}


@dataclass(frozen=True, slots=True)
class Kept:
    """How long what is kept after a run's end, in milliseconds; settings.py, RetentionSettings."""

    runs: int
    tombstones: int
    dead: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What one unit of work did. emptied: runs that became tombstones. removed: tombstones that went."""

    emptied: int = 0
    removed: int = 0


def forget(connection: Connection, kept: Kept) -> Forgotten:
    """Empty and remove what is due, PER_UNIT of each at most; call it again while it says that it did something.

    Rows that another transaction works on are left for the next time.
    """
    time = now(connection)
    emptied = _empty(connection, time, kept)
    removed = _remove(connection, time - kept.tombstones)
    _remove_settled(connection, time - kept.tombstones)
    return Forgotten(emptied, removed)


def release_events(connection: Connection, keys: Collection[str]) -> None:
    """Empty the events that no run with details needs any more.

    The events are locked before it is asked who needs them: a claim that tells of one again locks it too, so either it
    finds the event emptied and fills it, or its run is seen here.
    """
    here = events.c.key.in_(sorted(keys))
    connection.execute(select(events.c.key).where(here).order_by(events.c.key).with_for_update())
    needed = exists(
        select(executions.c.id).where(
            executions.c.event_key == events.c.key, executions.c.purged_at.is_(None), executions.c.emptied_at.is_(None)
        )
    )
    connection.execute(update(events).where(here, events.c.envelope != PURGED, ~needed).values(envelope=PURGED))


def _empty(connection: Connection, time: int, kept: Kept) -> int:
    waits_for_somebody = (executions.c.state == State.DEAD.value) & executions.c.purged_at.is_(None) & ~_is_sent_again
    due = or_(
        ~waits_for_somebody & (executions.c.ended_at <= time - kept.runs),
        waits_for_somebody & (executions.c.ended_at <= time - kept.dead),
    )
    is_whole = and_(executions.c.ended_at.is_not(None), executions.c.emptied_at.is_(None))
    # The first bound follows from the others; it is what an index can be searched for.
    rows = _some(connection, is_whole & (executions.c.ended_at <= time - min(kept.runs, kept.dead)) & due)
    if not rows:
        return 0
    ids = sorted(row.id for row in rows)
    connection.execute(delete(attempts).where(attempts.c.execution_id.in_(ids)))
    of_them = executions.c.id.in_(ids)
    connection.execute(update(executions).where(of_them).values(**_EMPTY, emptied_at=time))
    # A dead letter whose time is over is given up as a purge does it: it can no longer be sent again.
    given_up = of_them & (executions.c.state == State.DEAD.value) & executions.c.purged_at.is_(None)
    connection.execute(update(executions).where(given_up).values(purged_at=time))
    release_events(connection, {row.event_key for row in rows})
    return len(rows)


def _remove(connection: Connection, before: int) -> int:
    rows = _some(connection, and_(executions.c.emptied_at.is_not(None), executions.c.ended_at <= before))
    if not rows:
        return 0
    connection.execute(delete(executions).where(executions.c.id.in_(sorted(row.id for row in rows))))
    keys = events.c.key.in_(sorted({row.event_key for row in rows}))
    connection.execute(select(events.c.key).where(keys).order_by(events.c.key).with_for_update())
    spoken_of = exists(select(executions.c.id).where(executions.c.event_key == events.c.key))
    connection.execute(delete(events).where(keys, ~spoken_of))
    unknown_before = before + int(MARGIN.total_seconds() * 1000)
    connection.execute(update(inputs).where(inputs.c.since_at < unknown_before).values(since_at=unknown_before))
    return len(rows)


def _remove_settled(connection: Connection, before: int) -> None:
    """Remove what speaks of records that the bus no longer has, and replays that are long over."""
    connection.execute(delete(quarantine_settled).where(quarantine_settled.c.settled_at <= before))
    over = select(replays.c.id).where(replays.c.ended_at <= before)
    connection.execute(delete(replay_positions).where(replay_positions.c.replay_id.in_(over)))
    connection.execute(delete(replays).where(replays.c.ended_at <= before))


def _some(connection: Connection, condition: ColumnElement[bool]) -> list[Any]:
    query = (
        select(executions.c.id, executions.c.event_key)
        .where(condition)
        .order_by(executions.c.ended_at)
        .limit(PER_UNIT)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(query).all())
