"""How far intake has claimed each partition of a topic, and what the topic no longer had when it was asked for.

In:  positions, stored in the transaction of the claims behind them. Out: where to go on reading; an error if the ledger
was set back meanwhile.
Not here: claims (claims.py), reading the topic (oscar_dispatcher/intake.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from oscar_events.errors import OscarEventsError
from oscar_events.ledger.port import now
from oscar_events.ledger.rows import upsert
from oscar_events.ledger.tables import gaps, positions


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition has been read. topic_id: of the topic's life, not its name.

    since: what the ledger had stored, as far as the reader knows; None if it does not know of anything stored.
    """

    topic_id: str
    partition: int
    next_offset: int
    since: int | None = None


class LedgerForgotError(OscarEventsError):
    """The ledger knows of less than it told before: it was restored, or another copy of it took over, meanwhile.

    Whoever claims reads again from where the ledger is now: a new position stored over the hole would hide it.
    """


def stored_positions(connection: Connection, topic_id: str) -> dict[int, int]:
    """Return the next offset to read, per partition that was ever read."""
    query = select(positions.c.partition, positions.c.next_offset).where(positions.c.topic_id == topic_id)
    return {row.partition: row.next_offset for row in connection.execute(query)}


def record_gap(connection: Connection, topic_id: str, partition: int, wanted: int, first: int) -> None:
    """Write down that the log did not reach to wanted, and go on at first.

    Also backwards: a log that lost its end gives the offsets after it again, to other events.
    """
    row = {"topic_id": topic_id, "partition": partition, "wanted_offset": wanted, "first_offset": first}
    connection.execute(insert(gaps).values(**row, found_at=now(connection)))
    store_positions(connection, [Position(topic_id, partition, first)])
    if wanted > first:
        place = (positions.c.topic_id == topic_id) & (positions.c.partition == partition)
        connection.execute(update(positions).where(place).values(next_offset=first))


def forgot(stored: Mapping[int, int], known: Mapping[int, int]) -> list[int]:
    """Return the partitions of which the ledger has stored less than was known, given next offsets by partition."""
    return [partition for partition, before in known.items() if stored.get(partition, -1) < before]


def require_known(connection: Connection, read: Sequence[Position]) -> None:
    """Raise LedgerForgotError if less is stored of a partition than its reader knows."""
    for topic_id in sorted({position.topic_id for position in read if position.since is not None}):
        known = {one.partition: one.since for one in read if one.topic_id == topic_id and one.since is not None}
        if lost := forgot(stored_positions(connection, topic_id), known):
            raise LedgerForgotError(f"the ledger no longer knows how far partitions {lost} were read")


def store_positions(connection: Connection, read: Iterable[Position]) -> None:
    """Store the positions as a maximum: a claimer that was slower never takes another back."""
    furthest: dict[tuple[str, int], int] = {}
    for position in read:
        place = (position.topic_id, position.partition)
        furthest[place] = max(position.next_offset, furthest.get(place, 0))
    rows = [
        {"topic_id": topic_id, "partition": partition, "next_offset": furthest[topic_id, partition]}
        for topic_id, partition in sorted(furthest)
    ]
    upsert(connection, positions, rows, ("topic_id", "partition"), ("next_offset",), _is_further)


def _is_further(excluded: Any) -> ColumnElement[bool]:
    further: ColumnElement[bool] = positions.c.next_offset < excluded.next_offset
    return further
