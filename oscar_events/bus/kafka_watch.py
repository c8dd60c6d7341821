"""Notices a member's session that no longer does its work, though it is up.

In:  the log, a session, whether polls find anything. Out: whether the session is to be replaced.
Not here: replacing it (kafka_member.py), tasks that have ended (kafka_session.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from oscar_events.bus.kafka_log import KafkaLog, missing
from oscar_events.bus.kafka_session import Session
from oscar_events.bus.port import Partition
from oscar_events.errors import BusError

# A session that stands still is noticed at the second look: before the 30 s after which the process says of itself that
# it makes no progress (house rule 8).
LOOK_SECONDS = 10.0
# Where logs end is told within milliseconds, or by a leader that is away: the partitions of others do not wait for it.
_ANSWER_SECONDS = 2.0


class Watch:
    """Looks at most every LOOK_SECONDS."""

    def __init__(self, log: KafkaLog, ids: Mapping[str, str]) -> None:
        self._log, self._ids = log, ids
        self._looked = asyncio.get_running_loop().time()
        self._behind: Mapping[Partition, int] = {}
        self._found_nothing = False

    @classmethod
    async def begin(cls, log: KafkaLog, topics: Sequence[str]) -> Watch:
        """Return one for a session that is about to begin. Raises BusError, NotFoundError without one of the topics."""
        return cls(log, await _ids(log, topics))

    def polled(self, *, is_empty: bool) -> None:
        """Take note of what a poll found."""
        self._found_nothing |= is_empty

    async def stands_still(self, session: Session) -> bool:
        """Return whether a topic is another one than it was, or whether records wait that nobody has fetched.

        That is: since the last look they waited, the position did not move, and a poll found nothing. Raises BusError
        if nobody answers, NotFoundError if a topic is gone.
        """
        now = asyncio.get_running_loop().time()
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        if await _ids(self._log, list(self._ids)) != self._ids:
            return True
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                behind = await self._look(session)
        except (BusError, TimeoutError):
            return False  # not known: a partition without a leader is no fault of the session's
        stuck = self._found_nothing and bool(behind.items() & self._behind.items())
        self._behind, self._found_nothing = behind, False
        return stuck

    async def _look(self, session: Session) -> Mapping[Partition, int]:
        """Return where each partition is read that has more to be read."""
        tenure = session.tenure
        if tenure is None:
            return {}
        reading = [p for p, place in tenure.places.items() if place.position is not None and not place.is_paused]
        positions = {partition: await session.position(partition) for partition in reading}
        extents = await self._log.extents(reading)
        return {
            partition: position
            for partition, position in positions.items()
            if position is not None and position < extents[partition][1]
        }


async def _ids(log: KafkaLog, topics: Sequence[str]) -> dict[str, str]:
    found = await log.topics()
    absent = [topic for topic in topics if topic not in found]
    if absent:
        raise missing(log.names, absent)
    return {topic: found[topic].id for topic in topics}
