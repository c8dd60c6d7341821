"""A ledger restored from a dump: what it forgot is read again from the bus and claimed again; what was leased or
submitted under the old one counts no more.

Promised is that no event is lost. Not promised is that what ran after the dump does not run again: nobody remembers it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from oscar_events.errors import FencedError
from oscar_events.execution import State
from oscar_events.ledger import leases, runs
from oscar_events.ledger.positions import Position, stored_positions
from oscar_events.ledger.postgresql import PostgresLedger, upgrade
from oscar_events.ledger.tables import executions, queue
from oscar_events.settings import LedgerSettings
from tests.contracts.ledger.making import Life, file_event, run_id, service, succeeded
from tests.testbed.postgres import PostgresServer


async def test_events_claimed_after_the_dump_are_claimed_again_and_those_before_are_not(
    postgres: PostgresServer, ledger_url: str, tmp_path: Path
) -> None:
    database, dump = ledger_url.rpartition("/")[2], tmp_path / "ledger.dump"
    settings = LedgerSettings(url=SecretStr(ledger_url))
    await upgrade(settings)
    told = [file_event() for _ in range(30)]
    async with PostgresLedger(settings) as ledger:
        life = Life(ledger)
        instance = ledger.instance
        uid = await life.apply(service())
        await life.take_role("before")
        await life.claim(*told[:20], read=[Position("t", 0, 20)])
        ended, under_way, leased = await life.lease(uid, 3)
        await life.submit(ended)
        await life.end(ended, succeeded(ended))
        await life.submit(under_way)
        postgres.dump(database, dump)
        await life.claim(*told[20:], read=[Position("t", 0, 30)])
        await life.end(under_way, succeeded(under_way))
        await life.submit(leased)
    postgres.restore(database, dump)

    async with PostgresLedger(settings) as ledger:
        after = Life(ledger)
        assert ledger.instance == instance
        assert await ledger.read(lambda c: stored_positions(c, "t")) == {0: 20}
        # Intake goes to the stored position; that it also reads older records is nothing.
        assert await after.claim(*told[10:], read=[Position("t", 0, 30)]) == {uid}
        assert await after.count(executions) == 30
        assert await after.count(queue) == 30 - 3
        assert await after.state(ended.execution) is State.SUCCEEDED
        # What was submitted is in flight again, under the nonce its worker knows: its end can be recorded, or missed.
        (found, *_) = [row for row in await ledger.read(runs.in_flight) if row.id == under_way.execution]
        assert (found.state, found.attempt, found.nonce) == ("submitted", under_way.attempt, under_way.nonce)
        await after.take_role("after")
        with pytest.raises(FencedError):
            await life_of(ledger, life.epoch).end(under_way, succeeded(under_way))
        assert await after.end(under_way, succeeded(under_way)) is State.SUCCEEDED
        # What was leased is taken back; whoever still has the old lease is refused once it is leased anew.
        await ledger.write(lambda c: leases.take_back(c, after.epoch, leased.execution, "nobody has it"))
        with pytest.raises(FencedError):
            await after.submit(leased)
        every = {held.execution for held in await after.lease(uid, 100)}
        assert every == {run_id(uid, event) for event in told} - {ended.execution, under_way.execution}


def life_of(ledger: PostgresLedger, epoch: int) -> Life:
    """Return somebody who believes to hold the role under that epoch."""
    life = Life(ledger)
    life.epoch = epoch
    return life
