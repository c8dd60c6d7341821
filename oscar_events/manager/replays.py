"""Replays: events that lie on the bus, matched with one service again.

In:  a service and a range of time. Out: plain JSON values; executions, batch by batch.
Not here: positions and claims (ledger/replays.py), when a person wants one (the command line).

A running platform brings every unfinished replay forward in `run`, those that a killed platform or command left too;
without a platform whoever asks brings his own forward by `advance`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from oscar_events.bus.port import EVENTS, Bus, Delivery, OffsetGoneError
from oscar_events.codec import decode
from oscar_events.errors import ConfigurationError, ConflictError, EventError
from oscar_events.event import DEFAULT_TENANT
from oscar_events.ledger import claims, replays, services
from oscar_events.ledger.claims import Again, Sighting
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.positions import stored_positions
from oscar_events.ledger.replays import Replay, Wish
from oscar_events.ledger.services import Catalogue
from oscar_events.log import logger
from oscar_events.manager.log_extent import LogExtent, extent, positions, reached, within
from oscar_events.matching import Aliases
from oscar_events.patience import until_available

# As intake's batches, and for the same reason: what one transaction claims holds the writer for ~20 ms.
BATCH_RECORDS = 256
# So long `advance` waits for the platform's own progress before it answers: the asker sees no delay.
_ANSWER_S = 0.5
# Begun replays wake `run` themselves; this is for those that another process wrote into the ledger.
_LOOK_S = 5.0

# Where a preview goes on: partition, next offset, end.
Place = Sequence[int]

_log = logger(__name__)


class Replays:
    """The replays of a platform. wake: told when there is something for the scheduler to do at once."""

    def __init__(self, ledger: Ledger, bus: Bus, aliases: Aliases, wake: Callable[[], None]) -> None:
        self._ledger, self._bus, self._wake = ledger, bus, wake
        self._catalogue = Catalogue(aliases)  # of the writer's thread alone
        self._preview_catalogue = Catalogue(aliases)  # of the reader's thread alone
        self._begun = asyncio.Event()
        self._progress = asyncio.Event()
        self._runs_by_itself = False

    async def begin(self, service: str, start: datetime, end: datetime, *, as_new: bool = False) -> dict[str, Any]:
        """Write a replay down; it then survives whoever asked for it. Return it as `show` does.

        start, end: by when the platform saw the events, both included. Raises NotFoundError without such a service,
        ConfigurationError for an empty range, ConflictError if the log reaches none of it any more.
        """
        wish = _wish(service, start, end, as_new)
        topic_id = await self._bus.topic_id(EVENTS)
        ranges, missing = await self._ranges(wish, topic_id)

        def unit(connection: Connection) -> dict[str, Any]:
            identity = replays.begin(connection, DEFAULT_TENANT, wish, topic_id, ranges, missing)
            return replays.show(connection, identity)

        begun = await self._ledger.write(unit)
        self._begun.set()
        return begun

    async def preview(
        self, service: str, start: datetime, end: datetime, *, as_new: bool = False, at: Sequence[Place] | None = None
    ) -> dict[str, Any]:
        """Return what the next batch of such a replay would do, and `at`, from where to ask on; empty: that was all.

        at: None to begin. Nothing is written, so nothing is left behind when nobody asks on. Raises as `begin`.
        """
        wish = _wish(service, start, end, as_new)
        missing = ""
        if at is None:
            ranges, missing = await self._ranges(wish, await self._bus.topic_id(EVENTS))
        else:
            ranges = {partition: (start, end) for partition, start, end in at}
        try:
            deliveries = await self._bus.read(positions(ranges), BATCH_RECORDS)
        except OffsetGoneError as gone:
            raise ConflictError(f"the log lost what was to be read next ({gone}); ask again") from gone
        sightings = _sightings(within(ranges, deliveries), wish)
        counts = await self._ledger.read(lambda connection: self._count(connection, wish, sightings))
        for number, (_, there) in reached(ranges, deliveries).items():
            ranges[number] = (there, ranges[number][1])
        left = [[number, start, end] for number, (start, end) in ranges.items() if start < end]
        return {**counts, "reason": missing, "at": left if deliveries else []}

    async def _ranges(self, wish: Wish, topic_id: str) -> tuple[dict[int, tuple[int, int]], str]:
        """Return where to read in each partition, and what of the range cannot be. Raises as `begin`."""
        found = await extent(self._bus, wish.from_ms)
        missing, ranges = _missing(found, wish), dict(found.ranges)
        if wish.as_new:
            # What intake has not read yet is no repetition: it starts that itself, and a new run beside that one would
            # be a second.
            read = await self._ledger.read(lambda connection: stored_positions(connection, topic_id))
            ranges = {number: (start, min(end, read.get(number, 0))) for number, (start, end) in ranges.items()}
        return ranges, missing

    def _count(self, connection: Connection, wish: Wish, sightings: Sequence[Sighting]) -> dict[str, int]:
        uid = services.uid_of(connection, DEFAULT_TENANT, wish.service)
        wanted = claims.wanted_again(connection, self._preview_catalogue, sightings, Again(uid))
        there = 0 if wish.as_new else len(claims.known(connection, wanted))
        return {"read": len(sightings), "matched": len(wanted), "made": len(wanted) - there, "there": there}

    async def advance(self, replay: str) -> dict[str, Any]:
        """Bring a replay forward by one batch, or see the platform do it; return it. Raises NotFoundError."""
        shown = await self.show(replay)
        if shown["ended_at"] is not None:
            return shown
        if self._runs_by_itself:
            with suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_S):
                    await self._progress.wait()
        else:
            await self._step(replay)
        return await self.show(replay)

    async def page(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Return replays, newest first."""
        return await self._ledger.read(lambda connection: replays.listing(connection, limit))

    async def show(self, replay: str) -> dict[str, Any]:
        """Return one replay: range, what was read, matched, made, what is left. Raises NotFoundError."""
        return await self._ledger.read(lambda connection: replays.show(connection, replay))

    async def unfinished(self) -> list[str]:
        """Return the ids of the replays that have not ended, oldest first."""
        return await self._ledger.read(replays.unfinished)

    async def run(self) -> None:
        """Bring every unfinished replay forward, a batch of each in turn, until cancelled. Outages are waited out."""
        self._runs_by_itself = True
        try:
            while True:
                self._begun.clear()
                while waiting := await until_available(self.unfinished, "looking for replays"):
                    for replay in waiting:
                        await until_available(partial(self._step, replay), "replaying events")
                        self._tell_progress()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._begun.wait()
        finally:
            self._runs_by_itself = False

    def _tell_progress(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    async def _step(self, replay: str) -> None:
        """Read a batch and claim it; positions move in the same transaction."""
        going = await self._ledger.read(lambda connection: replays.going_on(connection, replay))
        if going is None:
            return
        if await self._bus.topic_id(EVENTS) != going.topic_id:
            await self._end(replay, "the log of events is another one than it was; what it held is gone")
            return
        try:
            deliveries = await self._bus.read(positions(going.left), BATCH_RECORDS)
        except OffsetGoneError as gone:
            await self._pass_gap(going, gone)
            return
        if not deliveries:
            await self._end(replay, "the log of events is shorter than it was; what it held is gone")
            return
        sightings = _sightings(within(going.left, deliveries), going)
        moves = reached(going.left, deliveries)
        made = await self._ledger.write(
            lambda connection: replays.advance(connection, self._catalogue, replay, sightings, moves)
        )
        if made:
            self._wake()

    async def _pass_gap(self, going: Replay, gone: OffsetGoneError) -> None:
        number = gone.partition.number
        _log.warning("a replay passes over what the log lost", replay=going.id, error=str(gone))
        if gone.position > gone.end:
            await self._end(going.id, "the log of events is shorter than it was; what it held is gone")
            return
        await self._ledger.write(
            lambda connection: replays.pass_gap(connection, going.id, number, gone.position, gone.first)
        )

    async def _end(self, replay: str, reason: str) -> None:
        await self._ledger.write(lambda connection: replays.end(connection, replay, reason))


def _wish(service: str, start: datetime, end: datetime, as_new: bool) -> Wish:
    if end < start:
        raise ConfigurationError("the range ends before it begins; --from is the earlier time, --to the later one")
    return Wish(service, int(start.timestamp() * 1000), int(end.timestamp() * 1000), as_new)


def _missing(found: LogExtent, wish: Wish) -> str:
    """Return what to tell of the part of the range that the log does not reach. Raises ConflictError: none of it."""
    if found.reaches(wish.from_ms):
        return ""
    told = f"the log no longer reaches there: {found.begins()}"
    if found.begins_ms is None or found.begins_ms > wish.to_ms:
        raise ConflictError(f"{told}; put the objects again, or choose a later range")
    return told


def _sightings(deliveries: Sequence[Delivery], wish: Wish | Replay) -> list[Sighting]:
    """Return the events of the range. Records that are none lie in the quarantine already, put there by intake."""
    found = []
    for delivery in deliveries:
        if wish.from_ms <= delivery.record.timestamp_ms <= wish.to_ms:
            with suppress(EventError):
                found.append(Sighting(decode(delivery.record.value), delivery.record.value))
    return found
