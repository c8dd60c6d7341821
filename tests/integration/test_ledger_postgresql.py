"""The ledger in a real PostgreSQL: what is refused at the start, what outages do to units, who is woken."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from oscar_events.errors import ConfigurationError, LedgerError
from oscar_events.ledger import ends, moves, runs
from oscar_events.ledger import postgresql as under_test
from oscar_events.ledger.postgresql import PostgresLedger, look, upgrade
from oscar_events.ledger.schema import Age
from oscar_events.settings import LedgerSettings
from tests.contracts.ledger.making import Life, file_event, run_id, service
from tests.testbed.postgres import PASSWORD, PostgresServer, running_postgres
from tests.waiting import wait_until


def settings(url: str, connections: int = 2) -> LedgerSettings:
    return LedgerSettings(url=SecretStr(url), connections=connections)


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


async def count(ledger: PostgresLedger) -> int:
    return await ledger.read(lambda c: c.execute(text("SELECT count(*) FROM services")).scalar_one())


@pytest.fixture
async def upgraded(ledger_url: str) -> str:
    await upgrade(settings(ledger_url))
    return ledger_url


async def refusal(url: str) -> str:
    """Return what opening says, which never holds the password."""
    with pytest.raises((ConfigurationError, LedgerError)) as caught:
        async with PostgresLedger(settings(url)):
            pass
    assert PASSWORD not in str(caught.value)
    return f"{type(caught.value).__name__}: {caught.value}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("127.0.0.1", "nowhere.invalid"), "ConfigurationError: .*no such host; correct the host"),
        ((PASSWORD, "wrong"), "ConfigurationError: .*password authentication failed.*correct user and password"),
        (("/test_", "/no_test_"), "ConfigurationError: .*does not exist; create it: CREATE DATABASE"),
        (("oscar:", "nobody:"), "ConfigurationError: .*authentication failed"),
        (("postgresql:", "mysql:"), "ConfigurationError: .*scheme is expected"),
    ],
)
async def test_a_database_that_cannot_be_had_is_told_with_cause_and_remedy(
    upgraded: str, change: tuple[str, str], expected: str
) -> None:
    refused = await refusal(upgraded.replace(*change))
    assert re.match(expected, refused), refused


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("sslmode=require", "rejected SSL upgrade; turn TLS on"),
        ("sslmode=often", "`sslmode` parameter must be one of"),
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "a file that ledger.url names"),
        ("colour=blue", 'unrecognized configuration parameter "colour"; remove that parameter'),
    ],
)
async def test_parameters_of_the_url_are_understood_or_refused(upgraded: str, parameters: str, expected: str) -> None:
    assert expected in await refusal(f"{upgraded}?{parameters}")


async def test_a_server_that_is_not_there_is_a_matter_of_time() -> None:
    assert (await refusal("postgresql://oscar@127.0.0.1:1/ledger")).startswith(
        "LedgerError: 127.0.0.1:1/ledger as oscar"
    )


async def test_a_url_in_a_file_is_read_and_a_missing_file_named(upgraded: str, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{upgraded}\n")
    async with PostgresLedger(LedgerSettings(url_file=tmp_path / "url")) as ledger:
        assert await count(ledger) == 0
    with pytest.raises(ConfigurationError, match=r"ledger.url_file: .*none cannot be read"):
        PostgresLedger(LedgerSettings(url_file=tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="no database is named"):
        PostgresLedger(LedgerSettings())


async def test_a_database_without_tables_is_refused_and_nothing_is_made(
    postgres: PostgresServer, ledger_url: str
) -> None:
    assert "it has no ledger yet; run `oscar-events ledger upgrade`" in await refusal(ledger_url)
    assert postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name_of(ledger_url)) == "0\n"


@pytest.mark.parametrize(
    ("migration", "expected"),
    [
        ("0002", r"of an older oscar-events \(migration 0002\); run `oscar-events ledger upgrade`"),
        ("9999", r"of a newer oscar-events \(migration 9999, .*install the newer version"),
    ],
)
async def test_tables_of_another_version_are_refused(
    postgres: PostgresServer, upgraded: str, migration: str, expected: str
) -> None:
    postgres.execute(f"UPDATE alembic_version SET version_num = '{migration}'", name_of(upgraded))
    assert re.search(expected, await refusal(upgraded))


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER DATABASE {database} SET synchronous_commit = off",
        "ALTER ROLE oscar IN DATABASE {database} SET synchronous_commit = off",
    ],
)
async def test_a_database_that_forgets_what_it_acknowledged_is_refused(
    postgres: PostgresServer, upgraded: str, statement: str
) -> None:
    postgres.execute(statement.format(database=name_of(upgraded)))
    assert "synchronous_commit is off, so a crash would lose" in await refusal(upgraded)
    with pytest.raises(ConfigurationError, match="synchronous_commit is off"):
        await upgrade(settings(upgraded))


async def test_a_read_only_database_is_refused(postgres: PostgresServer, upgraded: str) -> None:
    postgres.execute(f"ALTER DATABASE {name_of(upgraded)} SET default_transaction_read_only = on")
    assert "it is read only: a standby" in await refusal(upgraded)


async def test_a_user_without_rights_is_told_which_tables_and_how_to_grant(
    postgres: PostgresServer, upgraded: str
) -> None:
    user = f"user_{name_of(upgraded)}"
    postgres.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'theirs'")
    theirs = upgraded.replace("oscar:", f"{user}:").replace(PASSWORD, "theirs")
    assert "permission denied for table alembic_version; GRANT" in await refusal(theirs)
    postgres.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}", name_of(upgraded))
    told = await refusal(theirs)
    assert "may not read and write attempts, events" in told
    grant = told.partition("as their owner: ")[2]
    postgres.execute(grant, name_of(upgraded))
    async with PostgresLedger(settings(theirs)) as ledger:
        await Life(ledger).apply(service())
    empty = postgres.new_database()
    with pytest.raises(ConfigurationError, match="permission denied for schema public; GRANT"):
        await upgrade(settings(empty.replace("oscar:", f"{user}:").replace(PASSWORD, "theirs")))


async def test_an_older_ledger_is_brought_up_to_date_with_what_is_in_it_and_two_at_once_take_turns(
    ledger_url: str,
) -> None:
    found = await asyncio.gather(*(upgrade(settings(ledger_url)) for _ in range(3)))
    newest = found[0][1]
    assert sorted(before or "" for before, _ in found) == ["", newest, newest]
    assert await upgrade(settings(ledger_url)) == (newest, newest)
    state = await look(settings(ledger_url))
    assert (state.age, state.migration, state.unfit) == (Age.PRESENT, newest, ())


async def test_an_upgrade_that_fails_leaves_nothing_behind(postgres: PostgresServer, ledger_url: str) -> None:
    postgres.execute("CREATE TABLE queue (id integer)", name_of(ledger_url))
    with pytest.raises(DBAPIError, match="already exists"):
        await upgrade(settings(ledger_url))
    assert (
        postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name_of(ledger_url))
        == "queue\n"
    )


async def test_ids_are_found_by_their_beginning_in_a_database_that_sorts_as_people_do(postgres: PostgresServer) -> None:
    name = name_of(postgres.new_database())
    postgres.execute(f"DROP DATABASE {name}")
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'")
    url = postgres.url(name)
    await upgrade(settings(url))
    async with PostgresLedger(settings(url)) as ledger:
        life = Life(ledger)
        uid = await life.apply(service())
        made = [file_event() for _ in range(50)]
        await life.claim(*made)
        for event in made:
            whole = run_id(uid, event)
            for length in (8, 25, 26):
                assert await ledger.read(lambda c: runs.find(c, whole[:length])) == whole  # noqa: B023


async def test_a_wrong_statement_is_no_outage(upgraded: str) -> None:
    async with PostgresLedger(settings(upgraded)) as ledger:
        with pytest.raises(DBAPIError, match="does not exist"):
            await ledger.write(lambda c: c.execute(text("SELECT * FROM nowhere")).close())
        with pytest.raises(DBAPIError, match="read-only transaction"):
            await ledger.read(lambda c: c.execute(text("DELETE FROM queue")).close())


async def test_a_read_sees_one_moment(upgraded: str) -> None:
    async with PostgresLedger(settings(upgraded, connections=3)) as ledger:
        life = Life(ledger)
        first = asyncio.Event()

        def twice(connection: Connection) -> tuple[int, int]:
            query = text("SELECT count(*) FROM services")
            before = connection.execute(query).scalar_one()
            first.set()
            connection.execute(text("SELECT pg_sleep(0.3)"))
            return before, connection.execute(query).scalar_one()

        reading = asyncio.create_task(ledger.read(twice))
        await first.wait()
        await life.apply(service())
        assert await reading == (0, 0)
        assert await count(ledger) == 1


async def test_a_unit_whose_connection_is_ended_is_a_ledger_error_and_the_next_one_has_another(
    postgres: PostgresServer, upgraded: str
) -> None:
    def end_others(connection: Connection) -> None:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    async with PostgresLedger(settings(upgraded)) as ledger:
        with pytest.raises(LedgerError, match="terminating connection"):
            await ledger.write(end_others)
        assert await count(ledger) == 0
        postgres.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name_of(upgraded)}'"
            " AND pid <> pg_backend_pid()"
        )
        await wait_until(lambda: _works(ledger), "the pool has connections again")


async def _works(ledger: PostgresLedger) -> bool:
    try:
        await ledger.write(lambda c: c.execute(text("SELECT 1")).close())
    except LedgerError:
        return False
    return True


async def test_a_deadlock_is_repeated_until_both_are_through(upgraded: str) -> None:
    async with PostgresLedger(settings(upgraded, connections=4)) as ledger:
        await ledger.write(
            lambda c: c.execute(text("CREATE TABLE pair AS SELECT 1 AS id, 0 AS n UNION SELECT 2, 0")).close()
        )
        tried: list[int] = []

        def unit(first: int, second: int) -> object:
            def run(connection: Connection) -> None:
                tried.append(first)
                for row in (first, second):
                    connection.execute(text(f"UPDATE pair SET n = n + 1 WHERE id = {row}"))
                    connection.execute(text("SELECT pg_sleep(0.2)"))

            return run

        await asyncio.gather(ledger.write(unit(1, 2)), ledger.write(unit(2, 1)))  # type: ignore[arg-type]
        assert len(tried) > 2
        sums = await ledger.read(lambda c: list(c.scalars(text("SELECT n FROM pair ORDER BY id"))))
        assert sums == [2, 2]


@pytest.mark.parametrize("state", ["40P01", "40001"])
async def test_a_unit_that_the_server_undid_for_another_is_repeated(upgraded: str, state: str) -> None:
    tried = 0

    def unit(connection: Connection) -> int:
        nonlocal tried
        tried += 1
        connection.execute(text("INSERT INTO numbers VALUES (1)"))
        if tried == 1:
            connection.execute(text(f"DO $$ BEGIN RAISE 'asked for by the test' USING ERRCODE = '{state}'; END $$"))
        return tried

    async with PostgresLedger(settings(upgraded)) as ledger:
        await ledger.write(lambda c: c.execute(text("CREATE TABLE numbers (number integer)")).close())
        assert await ledger.write(unit) == 2
        assert await ledger.read(lambda c: c.execute(text("SELECT count(*) FROM numbers")).scalar_one()) == 1


async def test_what_is_queued_or_cancelled_elsewhere_wakes_whoever_listens(
    postgres: PostgresServer, upgraded: str
) -> None:
    async with PostgresLedger(settings(upgraded)) as here, PostgresLedger(settings(upgraded)) as there:
        woken = asyncio.Event()
        here.on_work(woken.set)
        await wait_until(woken.is_set, "the listener is there")
        life = Life(there)
        uid = await life.apply(service())
        event = file_event()
        woken.clear()
        await life.claim(event)
        await asyncio.wait_for(woken.wait(), 10)
        await life.take_role()
        await life.lease(uid)
        woken.clear()
        await there.write(lambda c: ends.cancel(c, run_id(uid, event), "by hand"))
        await asyncio.wait_for(woken.wait(), 10)
        # Told again after its connection was cut: also of what it missed.
        woken.clear()
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oscar-events listening'"
            f" AND datname = '{name_of(upgraded)}'"
        )
        await asyncio.wait_for(woken.wait(), 30)


async def test_a_stopped_process_keeps_its_locks_no_longer_than_a_role_lasts(
    upgraded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(under_test._SESSION, "idle_in_transaction_session_timeout", "300")
    async with PostgresLedger(settings(upgraded, connections=4)) as ledger:
        life = Life(ledger)
        await life.take_role()
        stopped = await ledger._engine.connect()
        await stopped.execute(text("SELECT epoch FROM roles FOR KEY SHARE"))
        await life.take_role("a standby")  # waits for the server to end the other
        await stopped.invalidate()
        await stopped.close()


async def test_a_frozen_server_ends_units_in_bounded_time_and_everything_goes_on_when_it_thaws(
    killable: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "UNIT_SECONDS", 1.0)
    monkeypatch.setattr(under_test, "CONNECT_SECONDS", 1.0)
    url = killable.new_database()
    await upgrade(settings(url))
    async with PostgresLedger(settings(url)) as ledger:
        life = Life(ledger)
        await life.apply(service())
        killable.pause()
        try:
            for _ in range(2):
                async with asyncio.timeout(30):  # of which two connections and waiting for them take 3
                    found = await asyncio.gather(*(count(ledger) for _ in range(5)), return_exceptions=True)
                assert {type(one) for one in found} == {LedgerError}
        finally:
            killable.resume()
        await wait_until(lambda: _works(ledger), "units run again")
        assert await count(ledger) == 1


async def test_units_go_on_after_the_server_was_killed_and_nothing_acknowledged_is_missing(
    killable: PostgresServer,
) -> None:
    url = killable.new_database()
    await upgrade(settings(url))
    async with PostgresLedger(settings(url, connections=4)) as ledger:
        life, acknowledged = Life(ledger), 0
        await life.apply(service())
        for _ in range(3):
            acknowledged += await _claim_until_killed(life, killable)
            killable.start()
            await wait_until(lambda: _works(ledger), "units run again")
        rows = await ledger.read(lambda c: c.execute(text("SELECT count(*) FROM queue")).scalar_one())
        assert rows >= acknowledged >= 30


async def _claim_until_killed(life: Life, server: PostgresServer) -> int:
    for _ in range(10):
        await life.claim(file_event())
    killing = asyncio.get_running_loop().run_in_executor(None, server.kill)
    acknowledged = 10
    try:
        while True:
            await life.claim(file_event())
            acknowledged += 1
    except LedgerError:
        await killing
    return acknowledged


async def test_a_server_that_starts_or_is_full_is_waited_for(killable: PostgresServer) -> None:
    url = killable.new_database()
    await upgrade(settings(url))
    killable.execute("CREATE ROLE small LOGIN PASSWORD 'theirs' CONNECTION LIMIT 1")
    killable.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO small", name_of(url))
    theirs = url.replace("oscar:", "small:").replace(PASSWORD, "theirs")
    async with PostgresLedger(settings(theirs)) as ledger:

        def sleep(connection: Connection) -> None:
            connection.execute(text("SELECT pg_sleep(0.3)"))

        found = await asyncio.gather(ledger.read(sleep), ledger.read(sleep), return_exceptions=True)
        assert sorted(str(one).rpartition(": ")[2] for one in found) == [
            "None",
            'too many connections for role "small"',
        ]
        assert await _works(ledger)
        killable.stop()
        with pytest.raises(LedgerError):
            await count(ledger)
        killable.start()
        await wait_until(lambda: _works(ledger), "units run again")


@pytest.fixture(scope="module")
def killable(postgres_here: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Return a server that only tests of this module kill."""
    with running_postgres(tmp_path_factory.mktemp("killable")) as server:
        yield server


def test_the_channel_is_a_name_that_needs_no_quotes() -> None:
    assert moves.CHANNEL.isidentifier()
    assert moves.CHANNEL.islower()
