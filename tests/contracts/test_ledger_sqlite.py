"""The ledger in a SQLite file, beyond the contract: its plans, a full disk, its versions, an upgrade cut short."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic import command, op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy import event as sa_event
from sqlalchemy.exc import OperationalError

from oscar_events.errors import ConfigurationError, LedgerError
from oscar_events.ledger import ends, expiry, leases, redrive, replays, roles, runs
from oscar_events.ledger.redrive import Filters
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.ledger.tables import metadata
from oscar_events.manager import gauges


@pytest.mark.parametrize(
    ("unit", "index"),
    [
        (ends.cancels, "executions_in_flight"),
        (runs.in_flight, "executions_in_flight"),
        (partial(leases.repair, epoch=1), "executions_live"),
        (partial(expiry.expire, epoch=1, limits={"x": 1}), "queue_next"),
        (partial(ends.cancel_service, uid="x", running_too=True), "executions_live"),
        (partial(redrive.page, filters=Filters()), "executions_dead"),
        (replays.unfinished, "replays_unfinished"),
        (gauges.waiting, "executions_dead"),
        (partial(runs.page, service="blur", limit=50), "executions_service"),
        (partial(runs.page, state="pending", limit=50), "executions_state"),
        (partial(runs.page, state="expired", service="blur", limit=50), "executions_state"),
        (partial(runs.page, state="running", limit=50), "executions_in_flight"),
    ],
)
async def test_what_is_asked_again_and_again_does_not_read_the_runs_that_ended(
    tmp_path: Path, unit: Callable[[Connection], object], index: str
) -> None:
    def plan(connection: Connection) -> str:
        assert roles.take(connection, SCHEDULER, "me", 60_000) == 1
        asked: list[tuple[str, Any]] = []
        sa_event.listen(connection, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
        unit(connection)
        sent = tuple(asked)  # explaining sends more
        return str([connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", values).all() for one, values in sent])

    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        assert f" INDEX {index}" in await ledger.write(plan)


async def test_a_full_disk_is_waited_out_and_a_wrong_statement_is_not(tmp_path: Path) -> None:
    def fill(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.exec_driver_sql("CREATE TABLE large AS SELECT zeroblob(1000000)")

    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        with pytest.raises(LedgerError, match="full"):
            await ledger.write(fill)
        with pytest.raises(OperationalError, match="no such table"):
            await ledger.read(lambda c: c.execute(text("SELECT * FROM nowhere")))


async def test_a_ledger_keeps_its_name_when_it_is_opened_again(tmp_path: Path) -> None:
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        first = ledger.instance
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        assert ledger.instance == first


async def test_an_upgrade_that_was_interrupted_is_done_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade, create_index = command.upgrade, op.create_index

    def interrupted(*arguments: Any, **more: Any) -> None:
        raise OSError("the power failed")

    monkeypatch.setattr(command, "upgrade", lambda config, _: upgrade(config, "0002"))
    async with SqliteLedger(tmp_path / "ledger.db"):
        pass
    monkeypatch.setattr(command, "upgrade", upgrade)
    monkeypatch.setattr(op, "create_index", interrupted)  # after columns were added
    with pytest.raises(OSError, match="the power failed"):
        async with SqliteLedger(tmp_path / "ledger.db"):
            pass
    monkeypatch.setattr(op, "create_index", create_index)
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        assert await ledger.read(lambda c: compare_metadata(MigrationContext.configure(c), metadata)) == []


async def test_a_ledger_of_a_newer_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        await ledger.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(ConfigurationError, match=r"newer oscar-events.*install the newer version"):
        async with SqliteLedger(tmp_path / "ledger.db"):
            pass
