"""A ledger restored from a dump: what it forgot is read again from the bus and claimed again; what was leased or
submitted under the old one counts no more.

Promised is that no event is lost. Not promised is that what ran after the dump does not run again: nobody remembers it.
"""

from __future__ import annotations

import os
import subprocess

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
from tests.testbed.postgres_build import postgres_binaries


def run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [postgres_binaries() / program, *arguments], env={"PATH": os.defpath}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


async def test_events_claimed_after_the_dump_are_claimed_again_and_those_before_are_not(
    postgres: PostgresServer, ledger_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dump = str(tmp_path_factory.mktemp("dump") / "ledger.dump")
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
        run("pg_dump", "--format=custom", f"--file={dump}", ledger_url)
        await life.claim(*told[20:], read=[Position("t", 0, 30)])
        await life.end(under_way, succeeded(under_way))
        await life.submit(leased)
    name = ledger_url.rpartition("/")[2]
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
    postgres.execute(f"CREATE DATABASE {name}")
    run("pg_restore", "--dbname", ledger_url, "--exit-on-error", dump)

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
