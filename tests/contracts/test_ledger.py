"""Every ledger keeps the ledger's contract, and its tables are what the migrations make.

One list for both databases: a suite that is added here is run by each of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from oscar_events.ledger.port import Ledger
from oscar_events.ledger.postgresql import PostgresLedger
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.ledger.tables import metadata
from tests.contracts.ledger.again import DeadLettersContract, MessagesContract, ReplaysContract, SettledContract
from tests.contracts.ledger.claiming import ClaimsContract, ServicesContract
from tests.contracts.ledger.expiring import ExpiryContract
from tests.contracts.ledger.forgetting import ForgettingContract
from tests.contracts.ledger.making import Life
from tests.contracts.ledger.running import CancelsContract, EndsContract, LeasesContract, RolesContract, RunsContract
from tests.contracts.ledger.together import RepeatedContract, TogetherContract


@pytest.fixture(params=["sqlite", "postgresql"])
def closed(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    """Return an empty ledger, not opened yet; the database is asked for only by the tests that run on it."""
    if request.param == "sqlite":
        return SqliteLedger(tmp_path / "ledger.db")
    return PostgresLedger(request.getfixturevalue("migrated"))


@pytest.fixture
async def life(closed: Ledger) -> AsyncIterator[Life]:
    async with closed as ledger:
        yield Life(ledger)


class TestServices(ServicesContract):
    pass


class TestClaims(ClaimsContract):
    pass


class TestRoles(RolesContract):
    pass


class TestLeases(LeasesContract):
    pass


class TestEnds(EndsContract):
    pass


class TestExpiry(ExpiryContract):
    pass


class TestCancels(CancelsContract):
    pass


class TestRuns(RunsContract):
    pass


class TestDeadLetters(DeadLettersContract):
    pass


class TestReplays(ReplaysContract):
    pass


class TestMessages(MessagesContract):
    pass


class TestForgetting(ForgettingContract):
    pass


class TestSettled(SettledContract):
    pass


class TestTogether(TogetherContract):
    pass


class TestRepeated(RepeatedContract):
    pass


async def test_the_migrations_make_exactly_the_tables(life: Life) -> None:
    assert await life.ledger.read(lambda c: compare_metadata(MigrationContext.configure(c), metadata)) == []
