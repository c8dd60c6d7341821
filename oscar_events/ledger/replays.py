"""Replays in the ledger: what is read again for which service, how far that has come, what it made.

In:  a range of a log, batches of it as they are read. Out: executions, positions moved in the same transaction.
Not here: reading the bus, deciding when the next batch is due (manager/replays.py).

Positions move with the claims and only from where the batch began, so whatever is killed in between repeats nothing and
skips nothing, and of two that read the same batch one does nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from oscar_events.codec import iso
from oscar_events.errors import NotFoundError
from oscar_events.ledger import claims, services
from oscar_events.ledger.claims import Again, Sighting
from oscar_events.ledger.moves import SERVICE_DELETED
from oscar_events.ledger.port import now
from oscar_events.ledger.rows import insert_rows, insert_unless_there
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.tables import replay_positions, replays

# 40 random bits: told apart among the replays of one ledger, and short enough to be typed.
_ID_BYTES = 5


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants replayed: events that the platform saw from from_ms to to_ms, both included.

    id: of the replay it becomes, once however often it is begun.
    """

    service: str
    from_ms: int
    to_ms: int
    as_new: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(_ID_BYTES))


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay that has not ended. left: per partition that is not read to its end, (next offset, end)."""

    id: str
    topic_id: str
    from_ms: int
    to_ms: int
    left: Mapping[int, tuple[int, int]]


def begin(
    connection: Connection, tenant: str, wish: Wish, topic_id: str, extents: Mapping[int, tuple[int, int]], reason: str
) -> str:
    """Write a replay down and return its id. extents: per partition, where it begins and ends to read.

    reason: what is known to be missing already. Raises NotFoundError if there is no such service.
    """
    identity = wish.id
    row = {
        "id": identity,
        "tenant": tenant,
        "service_uid": services.uid_of(connection, tenant, wish.service),
        "service": wish.service,
        "as_new": wish.as_new,
        "topic_id": topic_id,
        "from_ms": wish.from_ms,
        "to_ms": wish.to_ms,
        "created_at": now(connection),
        "read": 0,
        "matched": 0,
        "made": 0,
        "reason": reason,
    }
    if not insert_unless_there(connection, replays, [row], returning="id"):
        return identity
    rows = [
        {"replay_id": identity, "partition": partition, "next_offset": start, "end_offset": end}
        for partition, (start, end) in extents.items()
    ]
    insert_rows(connection, replay_positions, rows)
    _end_if_read(connection, identity)
    return identity


def unfinished(connection: Connection) -> list[str]:
    """Return the replays that have not ended, oldest first."""
    query = select(replays.c.id).where(replays.c.ended_at.is_(None)).order_by(replays.c.created_at, replays.c.id)
    return list(connection.scalars(query))


def going_on(connection: Connection, replay: str) -> Replay | None:
    """Return a replay as far as it is needed to go on, None if it has ended."""
    row = connection.execute(select(replays).where(replays.c.id == replay)).one()
    if row.ended_at is not None:
        return None
    left = {
        place.partition: (place.next_offset, place.end_offset)
        for place in connection.execute(_places(replay))
        if place.next_offset < place.end_offset
    }
    return Replay(replay, row.topic_id, row.from_ms, row.to_ms, left)


def advance(
    connection: Connection,
    catalogue: Catalogue,
    replay: str,
    sightings: Sequence[Sighting],
    moves: Mapping[int, tuple[int, int]],
) -> int:
    """Claim what was read, move the positions, end the replay if it is through; return how many executions are new.

    moves: per partition, where the batch began and where the next one does. Nothing happens if a position is elsewhere
    by now, or the replay has ended; it ends here if its service was deleted.
    """
    row = connection.execute(_held(replay)).one()
    here = {place.partition: place.next_offset for place in connection.execute(_places(replay))}
    if row.ended_at is not None or any(here[partition] != start for partition, (start, _) in moves.items()):
        return 0
    catalogue.refresh(connection, hold=True)
    if row.service_uid not in catalogue.services:
        end(connection, replay, SERVICE_DELETED)
        return 0
    again = Again(row.service_uid, replay if row.as_new else None)
    matched, made = claims.claim_again(connection, catalogue, sightings, again)
    for partition, (_, there) in moves.items():
        of_it = (replay_positions.c.replay_id == replay) & (replay_positions.c.partition == partition)
        connection.execute(update(replay_positions).where(of_it).values(next_offset=there))
    counted = {"read": row.read + len(sightings), "matched": row.matched + matched, "made": row.made + made}
    connection.execute(update(replays).where(replays.c.id == replay).values(counted))
    _end_if_read(connection, replay)
    return made


def pass_gap(connection: Connection, replay: str, partition: int, wanted: int, first: int) -> None:
    """Go on at `first`, as the log holds nothing before it any more, and say so in the replay's reason."""
    reason = connection.execute(_held(replay)).one().reason
    of_it = (replay_positions.c.replay_id == replay) & (replay_positions.c.partition == partition)
    place = connection.execute(select(replay_positions).where(of_it)).one()
    if place.next_offset != wanted:
        return
    connection.execute(update(replay_positions).where(of_it).values(next_offset=min(first, place.end_offset)))
    told = (
        f"the log lost {min(first, place.end_offset) - wanted} records of partition {partition} before they were read"
    )
    told = f"{reason}; {told}" if reason else told
    connection.execute(update(replays).where(replays.c.id == replay).values(reason=told))
    _end_if_read(connection, replay)


def end(connection: Connection, replay: str, reason: str) -> None:
    """End a replay that cannot go on. reason: why."""
    values = {"ended_at": now(connection), "reason": reason}
    connection.execute(update(replays).where(replays.c.id == replay, replays.c.ended_at.is_(None)).values(values))


def listing(connection: Connection, limit: int | None = None) -> list[dict[str, Any]]:
    """Return replays, newest first."""
    query = select(replays).order_by(replays.c.created_at.desc(), replays.c.id.desc()).limit(limit)
    return [_view(connection, row) for row in connection.execute(query).all()]


def show(connection: Connection, replay: str) -> dict[str, Any]:
    """Return one replay. Raises NotFoundError."""
    row = connection.execute(select(replays).where(replays.c.id == replay)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no replay {replay!r}; `oscar-events replay list` shows those there are")
    return _view(connection, row)


def _end_if_read(connection: Connection, replay: str) -> None:
    places = connection.execute(_places(replay)).all()
    if all(place.next_offset >= place.end_offset for place in places):
        of_it = (replays.c.id == replay) & replays.c.ended_at.is_(None)
        connection.execute(update(replays).where(of_it).values(ended_at=now(connection)))


def _held(replay: str) -> Any:
    """Return the query for a replay that others who step it wait behind."""
    return select(replays).where(replays.c.id == replay).with_for_update()


def _places(replay: str) -> Any:
    return select(replay_positions).where(replay_positions.c.replay_id == replay)


def _view(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    """Return a replay as JSON values. left: records still to be read; there: runs that existed before."""
    places = connection.execute(_places(row.id)).all()
    return {
        "id": row.id,
        "service": row.service,
        "as_new": row.as_new,
        "from": _time(row.from_ms),
        "to": _time(row.to_ms),
        "created_at": _time(row.created_at),
        "ended_at": None if row.ended_at is None else _time(row.ended_at),
        "read": row.read,
        "left": sum(max(0, place.end_offset - place.next_offset) for place in places),
        "matched": row.matched,
        "made": row.made,
        "there": row.matched - row.made,
        "reason": row.reason,
    }


def _time(milliseconds: int) -> str:
    return iso(datetime.fromtimestamp(milliseconds / 1000, UTC))
