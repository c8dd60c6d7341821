"""A member of a group in a process of its own, for tests that stop or kill it.

In:  the settings as JSON, a group; one line per step. Out: one line per step: `took N` records, `committed`, `fenced`.
Not here: what is tested (test_kafka_bus_faults.py).
"""

from __future__ import annotations

import asyncio
import sys

from oscar_events.bus.kafka import KafkaBus
from oscar_events.bus.port import EVENTS, Batch, Delivery
from oscar_events.errors import FencedError
from oscar_events.settings import KafkaSettings


async def read(settings: KafkaSettings, group: str, wanted: int) -> None:
    """Take so many records; commit them when told to."""
    async with KafkaBus(settings) as bus, bus.consumer([EVENTS], group) as member:
        taken: list[Delivery] = []
        while len(taken) < wanted:
            taken += (await member.poll(max_records=1000, max_wait=1.0)).deliveries
        print(f"took {len(taken)}", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        try:
            await member.commit(Batch(tuple(taken)).next_offsets())
            print("committed", flush=True)
        except FencedError:
            print("fenced", flush=True)


if __name__ == "__main__":
    asyncio.run(read(KafkaSettings.model_validate_json(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
