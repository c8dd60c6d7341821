"""Every call of every port can fail, before it is done and after, with the error that its port documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from oscar_dispatcher.backends.port import Backend, BackendUnavailableError, LiveAttempt
from oscar_events.bus.port import EVENTS, QUARANTINE, Partition
from oscar_events.errors import BusError, FencedError, LedgerError
from oscar_events.ledger.port import Ledger
from oscar_events.record import Record
from tests.contracts.backend import granted
from tests.contracts.test_backend_memory import MemoryScene
from tests.statemachine.faults import Calls, Fault, calls_of
from tests.statemachine.faulty import BUS_CALLS, FaultyBus, FaultyLedger
from tests.statemachine.host import Host, HostBackend

FIRST = Partition(EVENTS, 0)
SOME = [Record(b"key", b"value", 0)]


class Doubles:
    """One of each double, and a member of a group that holds a partition with a record."""

    def __init__(self) -> None:
        self.ledger, self.bus, self.backend = FaultyLedger(), FaultyBus(partitions=1), HostBackend(Host())
        self.member = self.bus.consumer([EVENTS], "group")
        self.job = MemoryScene(self.backend).job("one")

    def calls(self, port: str) -> Calls:
        return {"ledger": self.ledger.calls, "bus": self.bus.calls, "backend": self.backend.calls}[port]

    def state(self) -> object:
        """Return all that calls can change, but for where the member reads."""
        noted = self.ledger.look(lambda c: c.execute(text("SELECT count(*) FROM noted")).scalar_one())
        ends = [log.end for log in self.bus._logs.values()]
        of_backend = (
            self.backend.submitted,
            self.backend.adopted,
            self.backend.cancel_requests,
            self.backend.forgotten,
        )
        return noted, ends, dict(self.bus._commits), [len(one) for one in of_backend]


@pytest.fixture
async def doubles() -> AsyncIterator[Doubles]:
    found = Doubles()
    await found.ledger.write(lambda c: c.execute(text("CREATE TABLE noted (number integer)")).close())
    async with found.member:
        await found.member.poll(max_records=1, max_wait=0)
        await found.bus.publish(EVENTS, SOME)
        yield found
    found.ledger.close()


CHANGING: dict[str, Callable[[Doubles], Awaitable[Any]]] = {
    "ledger write": lambda d: d.ledger.write(lambda c: c.execute(text("INSERT INTO noted VALUES (1)")).close()),
    "bus publish": lambda d: d.bus.publish(EVENTS, SOME),
    "bus quarantine": lambda d: d.bus.publish(QUARANTINE, SOME),
    "bus commit": lambda d: d.member.commit({FIRST: 1}),
    "backend submit": lambda d: d.backend.submit(d.job, granted),
    "backend adopt": lambda d: d.backend.adopt([LiveAttempt("one", 1, "nonce")]),
    "backend cancel": lambda d: d.backend.cancel("one", 1),
    "backend forget": lambda d: d.backend.forget("one"),
}
ASKING: dict[str, Callable[[Doubles], Awaitable[Any]]] = {
    "ledger read": lambda d: d.ledger.read(lambda c: c.execute(text("SELECT 1")).close()),
    "bus topic_id": lambda d: d.bus.topic_id(EVENTS),
    "bus partitions": lambda d: d.bus.partitions(EVENTS),
    "bus offsets": lambda d: d.bus.offsets(FIRST),
    "bus committed": lambda d: d.bus.committed("group", FIRST),
    "bus retention": lambda d: d.bus.retention(EVENTS),
    "bus offset_at": lambda d: d.bus.offset_at(FIRST, 0),
    "bus read": lambda d: d.bus.read({FIRST: 0}, 1),
    "bus find": lambda d: d.bus.find(EVENTS, b"key", 0, 1),
    "bus poll": lambda d: d.member.poll(max_records=1, max_wait=0),
    "bus seek": lambda d: d.member.seek(FIRST, 1),
    "backend log": lambda d: d.backend.log("one", 1),
}
ERRORS = {"ledger": LedgerError, "bus": BusError, "backend": BackendUnavailableError}


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("call", [*CHANGING, *ASKING])
async def test_a_call_fails_before_it_is_done_or_after_as_its_port_says(
    doubles: Doubles, call: str, fault: Fault
) -> None:
    port, _, name = call.partition(" ")
    make = {**CHANGING, **ASKING}[call]
    doubles.calls(port)[name].coming = [fault]
    before = doubles.state()
    with pytest.raises(FencedError if name == "seek" else ERRORS[port], match=fault.value):
        await make(doubles)
    is_done = doubles.state() != before
    assert is_done == (fault is Fault.ANSWER_LOST and call in CHANGING)
    batch = await doubles.member.poll(max_records=1, max_wait=0)  # after a seek with the partition given anew
    assert [one.record for one in batch.deliveries] == SOME, "no record is passed over"
    await make(doubles)


def test_there_is_no_call_that_cannot_fail() -> None:
    found = {"ledger": calls_of(Ledger), "bus": BUS_CALLS, "backend": calls_of(Backend)}
    assert {f"{port} {name}" for port, names in found.items() for name in names} == {*CHANGING, *ASKING}
