"""A bus that is opened by the first question put to it.

In:  how to make the bus. Out: the bus of port.py, opened once, when somebody needs it.
Not here: any technology. For commands: most ask the ledger only, and go on working while the broker is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from types import TracebackType
from typing import Self

from oscar_events.bus.port import Bus, Consumer, Delivery, OnAssigned, OnRevoked, Partition
from oscar_events.errors import ConflictError
from oscar_events.record import Record


class LateBus(Bus):
    """The bus that `make` returns. Whatever opening it raises, each question that needs it raises."""

    def __init__(self, make: Callable[[], Bus]) -> None:
        self._make = make
        self._bus: Bus | None = None
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def _opened(self) -> Bus:
        async with self._opening:
            if self._bus is None:
                self._bus = await self._stack.enter_async_context(self._make())
            return self._bus

    async def publish(self, topic: str, records: Sequence[Record]) -> list[tuple[Partition, int]]:
        return await (await self._opened()).publish(topic, records)

    def consumer(
        self,
        topics: Sequence[str],
        group: str,
        *,
        on_assigned: OnAssigned | None = None,
        on_revoked: OnRevoked | None = None,
    ) -> Consumer:
        """Return a new member of the group. Raises ConflictError while the bus is not open: commands join no group."""
        if self._bus is None:
            raise ConflictError("this bus is not open yet; ask it something first")
        return self._bus.consumer(topics, group, on_assigned=on_assigned, on_revoked=on_revoked)

    async def topic_id(self, topic: str) -> str:
        return await (await self._opened()).topic_id(topic)

    async def partitions(self, topic: str) -> list[Partition]:
        return await (await self._opened()).partitions(topic)

    async def offsets(self, partition: Partition) -> tuple[int, int]:
        return await (await self._opened()).offsets(partition)

    async def committed(self, group: str, partition: Partition) -> int | None:
        return await (await self._opened()).committed(group, partition)

    async def retention(self, topic: str) -> timedelta | None:
        return await (await self._opened()).retention(topic)

    async def offset_at(self, partition: Partition, timestamp_ms: int) -> int:
        return await (await self._opened()).offset_at(partition, timestamp_ms)

    async def read(self, positions: Mapping[Partition, int], max_records: int) -> list[Delivery]:
        return await (await self._opened()).read(positions, max_records)

    async def find(self, topic: str, key: bytes, since_ms: int, max_records: int) -> list[Delivery]:
        return await (await self._opened()).find(topic, key, since_ms, max_records)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()
