"""With a million runs, what is asked again and again is answered from indexes: nothing reads runs, events or attempts
from one end to the other."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy import event as sa_event

from oscar_events.execution import State
from oscar_events.job import FailureClass
from oscar_events.ledger import (
    claims,
    ends,
    expiry,
    leases,
    objects,
    outbox,
    permits,
    redrive,
    replays,
    retention,
    roles,
    runs,
    services,
)
from oscar_events.ledger.ends import AttemptEnd
from oscar_events.ledger.leases import Leased
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.positions import Position
from oscar_events.ledger.postgresql import PostgresLedger
from oscar_events.ledger.redrive import Filters
from oscar_events.ledger.retention import Kept
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.services import Catalogue
from oscar_events.manager import gauges
from oscar_events.service import RetrySettings
from oscar_events.settings import LedgerSettings
from tests.contracts.ledger.making import EARLY, file_event, service, sighting

Unit = Callable[[Connection], object]
# Tables of which each run has a row.
_ALL_RUNS = ("executions", "events", "attempts")


@pytest.fixture
async def ledger(large: LedgerSettings) -> AsyncIterator[Ledger]:
    async with PostgresLedger(large) as ledger:
        yield ledger


class _UndoneError(Exception):
    """Raised so that nothing a test asked for is committed."""


async def plans(ledger: Ledger, unit: Unit) -> list[str]:
    """Return the plan of each statement that the unit sends, most of them with rows to find; nothing is kept of it."""
    found: list[str] = []

    def explain(connection: Connection) -> None:
        asked: list[tuple[str, Any]] = []
        listener = lambda *call: asked.append((call[2], call[3]))  # noqa: E731
        sa_event.listen(connection, "before_cursor_execute", listener)
        unit(connection)
        sa_event.remove(connection, "before_cursor_execute", listener)
        for statement, parameters in asked:
            for one in parameters if isinstance(parameters, list) else [parameters]:
                rows = connection.exec_driver_sql(f"EXPLAIN {statement}", one)
                found.append(f"{statement}\n" + "\n".join(str(row[0]) for row in rows))
        raise _UndoneError

    with pytest.raises(_UndoneError):
        await ledger.write(explain)
    assert found
    return found


def some(connection: Connection, condition: str) -> Any:
    """Return the row of a run in the middle of them all."""
    return connection.execute(
        text(f"SELECT * FROM executions WHERE {condition} ORDER BY created_at OFFSET 500 LIMIT 1")
    ).one()


async def one_run(ledger: Ledger, condition: str) -> Any:
    return await ledger.read(lambda c: some(c, condition))


def in_the_role(unit: Unit) -> Unit:
    def run(connection: Connection) -> None:
        roles.take(connection, SCHEDULER, "me", 60_000, at_once=True)
        connection.execute(text("UPDATE roles SET epoch = 1"))
        unit(connection)

    return run


def claim(connection: Connection) -> None:
    services.apply(connection, "default", service(), EARLY)
    seen = [sighting(file_event()) for _ in range(256)]
    assert claims.claim(connection, Catalogue(), seen, [Position("t", 0, 1)])


def lease_submit_end(connection: Connection) -> None:
    held: Leased
    (held, *_) = leases.lease(connection, 1, [("uid-1", 16)], 60_000, {"uid-1": 2**50})
    assert permits.submit(connection, 1, held, "spec")
    ends.started(connection, 1, held.execution, 1, 5)
    ends.cancel(connection, held.execution, "by hand")
    ended = AttemptEnd(held.execution, held.attempt, held.nonce, None, "no report", b"")
    assert ends.end(connection, 1, ended, RetrySettings(), 0.5) is State.CANCELLED


# The deep page of a list, and what is asked with it.
DEEP = "created_at < (SELECT max(created_at) FROM executions) - 500000"


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(claim, id="claim"),
        pytest.param(in_the_role(lease_submit_end), id="lease, submit, start, cancel, end"),
        pytest.param(in_the_role(partial(expiry.expire, epoch=1, limits={"uid-1": 1})), id="expire"),
        pytest.param(in_the_role(partial(leases.repair, epoch=1)), id="repair"),
        pytest.param(partial(ends.cancel_service, uid="uid-1", running_too=True), id="cancel a deleted service's"),
        pytest.param(partial(retention.forget, kept=Kept(1, 1, 1)), id="forget"),
        pytest.param(partial(retention.forget, kept=Kept(2**50, 2**50, 2**50)), id="nothing to forget"),
        pytest.param(leases.waiting, id="waiting"),
        pytest.param(runs.in_flight, id="in flight"),
        pytest.param(ends.cancels, id="cancels"),
        pytest.param(partial(ends.live, uid="uid-1"), id="live"),
        pytest.param(gauges.waiting, id="gauges"),
        pytest.param(partial(runs.page, limit=50), id="newest runs"),
        pytest.param(partial(runs.page, limit=50, service="service-3"), id="newest runs of a service"),
        pytest.param(partial(runs.page, limit=50, state="expired"), id="newest runs in a rare state"),
        pytest.param(partial(runs.page, limit=50, state="submitted"), id="newest runs in flight"),
        pytest.param(partial(runs.page, limit=50, state="succeeded", service="service-3"), id="newest successes"),
        pytest.param(partial(redrive.page, filters=Filters(), limit=50), id="dead letters"),
        pytest.param(partial(redrive.page, filters=Filters(service="service-3"), limit=50), id="one's dead letters"),
        pytest.param(
            partial(redrive.page, filters=Filters(failure=FailureClass.PERMANENT), limit=50), id="rare dead letters"
        ),
        pytest.param(partial(outbox.oldest, count=100), id="outbox"),
        pytest.param(replays.unfinished, id="replays"),
        pytest.param(services.active, id="services"),
        pytest.param(services.secrets_in_use, id="secrets in use"),
    ],
)
async def test_what_is_asked_again_and_again_reads_no_table_of_all_runs(ledger: Ledger, unit: Unit) -> None:
    for plan in await plans(ledger, unit):
        assert not re.search(rf"Seq Scan on ({'|'.join(_ALL_RUNS)})\b", plan), plan


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda row: partial(runs.page, limit=50, before=row.id), id="a deep page"),
        pytest.param(
            lambda row: partial(runs.page, limit=50, before=row.id, service=row.service), id="a deep page of a service"
        ),
        pytest.param(
            lambda row: partial(runs.page, limit=50, before=row.id, state="dead"), id="a deep page of a state"
        ),
        pytest.param(
            lambda row: partial(redrive.page, filters=Filters(), limit=50, before=row.id), id="a deep page of letters"
        ),
        pytest.param(lambda row: partial(runs.show, run=row.id[:12]), id="one run by its beginning"),
        pytest.param(lambda row: partial(runs.log, run=row.id), id="its log"),
        pytest.param(
            lambda row: partial(
                objects.runs_of, bucket=row.bucket, key=row.subject.encode(), limit=10, has_platform=False
            ),
            id="an object's runs",
        ),
        pytest.param(lambda row: partial(objects.envelopes, event_ids=[row.event_id]), id="envelopes"),
        pytest.param(lambda row: partial(objects.started_by, event_ids=[row.event_id]), id="what events started"),
        pytest.param(lambda row: partial(claims.known, execution_ids=[row.id, "elsewhere"]), id="which runs are known"),
        pytest.param(lambda row: partial(redrive.show, run=row.id), id="a dead letter"),
        pytest.param(lambda row: partial(redrive.redrive, ids=[row.id]), id="redrive"),
        pytest.param(lambda row: partial(redrive.purge, ids=[row.id]), id="purge"),
    ],
)
async def test_one_run_or_page_is_found_among_all_without_reading_them(
    ledger: Ledger, ask: Callable[[Any], Unit]
) -> None:
    row = await one_run(ledger, f"state = 'dead' AND {DEEP}")
    for plan in await plans(ledger, ask(row)):
        assert not re.search(rf"Seq Scan on ({'|'.join(_ALL_RUNS)})\b", plan), plan


async def test_no_list_is_paged_by_counting_rows_off(ledger: Ledger) -> None:
    row = await one_run(ledger, f"state = 'dead' AND {DEEP}")
    asked: list[str] = []

    def read(connection: Connection) -> None:
        sa_event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2]))
        runs.page(connection, limit=5, before=row.id)
        redrive.page(connection, Filters(), 5, row.id)

    await ledger.read(read)
    assert asked
    assert not any("OFFSET" in statement for statement in asked)


async def test_a_batch_is_claimed_in_as_many_statements_as_one_event(ledger: Ledger) -> None:
    async def statements(count: int) -> int:
        asked: list[str] = []

        def unit(connection: Connection) -> None:
            services.apply(connection, "default", service(), EARLY)
            catalogue = Catalogue()
            catalogue.refresh(connection)
            seen = [sighting(replace(file_event(), kind="s3", modified_ns=None)) for _ in range(count)]
            sa_event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2]))
            claims.claim(connection, catalogue, seen, [Position("t", number, 1) for number in range(4)])
            raise _UndoneError

        with pytest.raises(_UndoneError):
            await ledger.write(unit)
        return len(asked)

    assert await statements(256) == await statements(1)
