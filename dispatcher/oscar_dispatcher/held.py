"""Partitions that wait at a record which can be neither taken in nor kept in quarantine: never is one skipped.

In:  refused records. Out: they are in quarantine, or their partitions paused, with an alarm, until they are.
Not here: which records are refused (batch.py). The other partitions go on (reference/reliability.md D15).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from oscar_dispatcher.batch import Reading
from oscar_events import metrics
from oscar_events.bus.port import QUARANTINE, Bus, Consumer, Partition
from oscar_events.errors import BusError, FencedError, OscarEventsError
from oscar_events.log import logger
from oscar_events.patience import until_available
from oscar_events.quarantine import quarantine_record
from oscar_events.record import Record

# A bus in order acknowledges within milliseconds; what takes longer is waited for aside, while the others go on.
_AT_ONCE_S = 2.0

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Refused:
    """The record a partition waits at, and the entry for it that the quarantine did not take."""

    offset: int
    entry: Record


@dataclass(frozen=True, slots=True)
class _Held:
    offset: int
    keeping: asyncio.Task[None]


class HeldPartitions:
    """The partitions of one consumer that are held. An async context manager, which owns the tries to go on."""

    def __init__(self, bus: Bus, consumer: Consumer) -> None:
        self._bus, self._consumer = bus, consumer
        self._refused: dict[Partition, _Refused] = {}
        self._held: dict[Partition, _Held] = {}
        self._kept: dict[Partition, int] = {}
        self._tasks = asyncio.TaskGroup()

    @property
    def partitions(self) -> frozenset[Partition]:
        """Return the partitions that are held."""
        return frozenset(self._held)

    async def keep(self, refused: Sequence[Reading]) -> None:
        """Put the records in quarantine and mark them; if it does not take them at once, `hold` has to follow.

        Called more than once for a batch, later calls are about records before those that were not taken.
        """
        now = datetime.now(UTC)
        entries: list[Record] = []
        firsts: dict[Partition, _Refused] = {}
        for one in refused:
            partition, offset = one.delivery.partition, one.delivery.offset
            if self._kept.get(partition) == offset:
                one.is_kept = True  # while its partition was held
                continue
            where = f"{partition.topic}/{partition.number}@{offset}"
            entry = quarantine_record(one.delivery.record.value, where, one.reason, now)
            entries.append(entry)
            firsts.setdefault(partition, _Refused(offset, entry))
            _log.warning("record is no usable event", where=where, reason=one.reason)
        try:
            async with asyncio.timeout(_AT_ONCE_S):
                await self._publish(entries)
        except (TimeoutError, BusError) as error:
            _log.error("records cannot be kept in quarantine", error=str(error) or "no answer", records=len(entries))
            self._refused |= firsts
            return
        for one in refused:
            one.is_kept = True

    async def hold(self) -> None:
        """Pause the partitions of what `keep` could not keep, at those records, and go on trying aside."""
        refused, self._refused = self._refused, {}
        for partition, one in refused.items():
            try:
                # What was delivered behind the record is delivered again, behind it.
                await self._consumer.seek(partition, one.offset)
            except FencedError:
                continue  # it is another member's by now
            self._consumer.pause(partition)
            name = f"quarantine for {partition.topic}/{partition.number}"
            self._held[partition] = _Held(one.offset, self._tasks.create_task(self._keep_aside(one.entry), name=name))
            metrics.alarms.labels("partition paused").inc()
            _log.error("a partition waits for the quarantine", partition=partition.number, offset=one.offset)
        self._note()

    def release_kept(self) -> None:
        """Let the partitions go on whose record is in quarantine by now."""
        for partition, held in list(self._held.items()):
            if held.keeping.done():
                del self._held[partition]
                self._kept[partition] = held.offset
                self._consumer.resume(partition)
                _log.info("a partition goes on", partition=partition.number, offset=held.offset)
        self._note()

    def forget(self, partitions: Collection[Partition]) -> None:
        """Give up what is held of these partitions: they go to another member, or come anew."""
        for partition in partitions:
            self._kept.pop(partition, None)
            held = self._held.pop(partition, None)
            if held is not None:
                held.keeping.cancel()
        self._note()

    async def _keep_aside(self, entry: Record) -> None:
        await until_available(lambda: self._publish([entry]), "publishing to quarantine")

    async def _publish(self, entries: Sequence[Record]) -> None:
        if not entries:
            return
        try:
            await self._bus.publish(QUARANTINE, entries)
        except OscarEventsError as error:  # also a topic that is missing or refuses them: somebody has to mend it
            raise BusError(str(error)) from error
        metrics.events_quarantined.labels("intake").inc(len(entries))

    def _note(self) -> None:
        metrics.partitions_paused.set(len(self._held))

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.forget(list(self._held))
        await self._tasks.__aexit__(kind, error, traceback)
