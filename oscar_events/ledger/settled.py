"""Which records of the quarantine are done with.

In:  where records lie on the bus. Out: how each was settled, once it was.
Not here: the records themselves (on the bus), settling them (manager/quarantine.py).
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from sqlalchemy import Connection, select

from oscar_events.ledger.port import now
from oscar_events.ledger.rows import insert_unless_there
from oscar_events.ledger.tables import quarantine_settled


class How(StrEnum):
    """How a record was settled."""

    REDRIVEN = "redriven"
    PURGED = "purged"


def settle(connection: Connection, topic_id: str, places: Collection[tuple[int, int]], how: How) -> None:
    """Note records, each as (partition, offset), as done with; what was settled before stays as it was."""
    if not places:
        return
    time = now(connection)
    rows = [
        {"topic_id": topic_id, "partition": partition, "offset": offset, "how": how.value, "settled_at": time}
        for partition, offset in sorted(set(places))
    ]
    insert_unless_there(connection, quarantine_settled, rows)


def settled(connection: Connection, topic_id: str, partition: int, first: int, end: int) -> dict[int, How]:
    """Return those settled of one partition's offsets from first to before end."""
    query = select(quarantine_settled.c.offset, quarantine_settled.c.how).where(
        quarantine_settled.c.topic_id == topic_id,
        quarantine_settled.c.partition == partition,
        quarantine_settled.c.offset >= first,
        quarantine_settled.c.offset < end,
    )
    return {row.offset: How(row.how) for row in connection.execute(query)}
