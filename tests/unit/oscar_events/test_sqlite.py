"""Units of work share a commit, and nobody is told before it happened."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

from oscar_events import sqlite
from oscar_events.errors import BusError, ConfigurationError, InUseError
from oscar_events.sqlite import GroupWriter, Reader, connect, file_system

Unit = Callable[[sqlite3.Connection], object]


def execute(connection: sqlite3.Connection, statement: str) -> object:
    return connection.execute(statement)


def insert(n: int) -> Callable[[sqlite3.Connection], int]:
    def unit(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (n,))
        return n

    return unit


def stored(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as other:
        return [n for (n,) in other.execute("SELECT n FROM numbers ORDER BY rowid")]


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a group end with the queue, not because the machine is slow."""
    monkeypatch.setattr(sqlite, "GROUP_SECONDS", 10.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file.db"
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE numbers (n INTEGER)")
        connection.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE children (parent REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
    return path


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[GroupWriter[sqlite3.Connection]]:
    async with GroupWriter(lambda: connect(path), execute, sqlite3.Connection.close, BusError) as writer:
        yield writer


async def at_once(writer: GroupWriter[sqlite3.Connection], *units: Unit) -> list[object]:
    """Hand all the units in while one before them is being written; return what each returned or raised."""
    entered, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(_: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(entered.set)
        assert go.wait(10)

    held = asyncio.create_task(writer.run(hold))
    await entered.wait()
    waiting = [asyncio.create_task(writer.run(unit)) for unit in units]
    await asyncio.sleep(0)  # every task has handed in its unit now
    go.set()
    _, *outcomes = await asyncio.gather(held, *waiting, return_exceptions=True)
    return outcomes


async def test_a_unit_is_on_disk_when_its_caller_is_told(writer: GroupWriter[sqlite3.Connection], path: Path) -> None:
    for n in range(20):
        assert await writer.run(insert(n)) == n
        assert stored(path) == list(range(n + 1))


async def test_nobody_is_told_before_the_commit(path: Path) -> None:
    seen_at_commit: list[list[int]] = []
    told: list[int] = []
    commits = 0

    def spy(connection: sqlite3.Connection, statement: str) -> object:
        nonlocal commits
        if statement == "COMMIT":
            seen_at_commit.append(list(told))
            commits += 1
        return connection.execute(statement)

    async with GroupWriter(lambda: connect(path), spy, sqlite3.Connection.close, BusError) as writer:

        async def run(n: int) -> None:
            await writer.run(insert(n))
            assert n in stored(path)
            told.append(n)

        async with asyncio.TaskGroup() as tasks:
            for n in range(500):
                tasks.create_task(run(n))
    assert seen_at_commit[0] == []
    assert sorted(told) == list(range(500))
    assert 500 / sqlite.GROUP_UNITS <= commits < 500  # they shared commits, within the limit


async def test_units_are_written_in_the_order_they_were_handed_in(
    writer: GroupWriter[sqlite3.Connection], path: Path
) -> None:
    await asyncio.gather(*(writer.run(insert(n)) for n in range(1000)))
    assert stored(path) == list(range(1000))


async def test_a_unit_that_raises_takes_only_itself_away(writer: GroupWriter[sqlite3.Connection], path: Path) -> None:
    def bad(connection: sqlite3.Connection) -> None:
        insert(-1)(connection)
        raise ValueError("changed its mind")

    first, error, last = await at_once(writer, insert(1), bad, insert(2))
    assert (first, last) == (1, 2)
    assert isinstance(error, ValueError)
    assert stored(path) == [1, 2]


def orphan(connection: sqlite3.Connection) -> None:
    """Write what SQLite refuses no earlier than at the commit: a child without a parent."""
    connection.execute("INSERT INTO children VALUES (42)")


async def test_a_commit_that_fails_fails_every_unit_of_the_group_and_the_next_group_works(
    writer: GroupWriter[sqlite3.Connection], path: Path
) -> None:
    for outcome in await at_once(writer, insert(1), orphan, insert(2)):
        assert isinstance(outcome, BusError)
        assert isinstance(outcome.__cause__, sqlite3.IntegrityError)
    assert stored(path) == []
    assert await writer.run(insert(3)) == 3
    assert stored(path) == [3]


async def test_a_group_takes_nobody_in_when_its_time_is_up(
    writer: GroupWriter[sqlite3.Connection], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "GROUP_SECONDS", 0.0)
    first, error, last = await at_once(writer, insert(1), orphan, insert(2))
    assert (first, last) == (1, 2)  # the commit that failed was not theirs
    assert isinstance(error, BusError)
    assert stored(path) == [1, 2]


async def test_a_unit_that_lets_a_stop_iteration_escape_does_not_leave_its_caller_waiting(
    writer: GroupWriter[sqlite3.Connection],
) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await writer.run(lambda connection: next(connection.execute("SELECT 1 WHERE 0")))


async def test_a_full_queue_makes_callers_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "QUEUE_UNITS", 3)
    async with GroupWriter(lambda: connect(path), execute, sqlite3.Connection.close, BusError) as writer:
        entered, go = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def hold(_: sqlite3.Connection) -> None:
            loop.call_soon_threadsafe(entered.set)
            assert go.wait(10)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.run(hold))
            await entered.wait()
            callers = [tasks.create_task(writer.run(insert(n))) for n in range(10)]
            await asyncio.sleep(0)
            for caller in callers[:2]:  # handed in; that they go away makes no room
                caller.cancel()
            await asyncio.sleep(0)
            assert writer._units.qsize() == 2
            go.set()
    assert stored(path) == list(range(2, 10))


async def test_leaving_finishes_what_was_handed_in_and_refuses_the_rest(path: Path) -> None:
    async with GroupWriter(lambda: connect(path), execute, sqlite3.Connection.close, BusError) as writer:
        waiting = [asyncio.create_task(writer.run(insert(n))) for n in range(300)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waiting) == list(range(300))
    with pytest.raises(BusError, match="closed"):
        await writer.run(insert(300))


async def test_a_reader_sees_one_moment_while_the_writer_goes_on(
    writer: GroupWriter[sqlite3.Connection], path: Path
) -> None:
    between, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def count_twice(connection: sqlite3.Connection) -> list[int]:
        ((first,),) = connection.execute("SELECT count(*) FROM numbers")
        loop.call_soon_threadsafe(between.set)
        assert go.wait(10)
        ((second,),) = connection.execute("SELECT count(*) FROM numbers")
        return [first, second]

    async with Reader(lambda: connect(path, read_only=True), execute, sqlite3.Connection.close) as reader:
        reading = asyncio.create_task(reader.run(count_twice))
        await between.wait()
        await writer.run(insert(1))
        go.set()
        assert await reading == [0, 0]
        assert await reader.run(lambda connection: connection.execute("SELECT n FROM numbers").fetchall()) == [(1,)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await reader.run(insert(2))


async def test_a_connection_of_sqlalchemy_works_as_well(path: Path) -> None:
    engine = sqlalchemy.create_engine("sqlite://", creator=lambda: connect(path), poolclass=sqlalchemy.NullPool)

    def insert_core(connection: sqlalchemy.Connection) -> None:
        connection.execute(sqlalchemy.text("INSERT INTO numbers VALUES (1)"))

    def insert_and_raise(connection: sqlalchemy.Connection) -> None:
        insert_core(connection)
        raise ValueError

    async with GroupWriter(
        engine.connect, sqlalchemy.Connection.exec_driver_sql, sqlalchemy.Connection.close, BusError
    ) as writer:
        await writer.run(insert_core)
        with pytest.raises(ValueError):
            await writer.run(insert_and_raise)
        assert stored(path) == [1]
    engine.dispose()


WRITE_FOR_EVER = """
import asyncio, sqlite3, sys
from pathlib import Path
from oscar_events.errors import BusError
from oscar_events.sqlite import GroupWriter, connect

async def write(writer, lane):
    n = lane
    while True:
        await writer.run(lambda connection: connection.execute("INSERT INTO numbers VALUES (?)", (n,)) and None)
        print(n, flush=True)
        n += 10

async def main():
    path = Path(sys.argv[1])
    async with GroupWriter(lambda: connect(path), sqlite3.Connection.execute, sqlite3.Connection.close, BusError) as w:
        await asyncio.gather(*(write(w, lane) for lane in range(10)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 100, 1000])
def test_sigkill_loses_nothing_that_was_acknowledged(path: Path, acknowledged: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        lines = [it.stdout.readline() for _ in range(acknowledged)]
        it.send_signal(signal.SIGKILL)
        lines += it.stdout.readlines()
    told = {int(line) for line in lines if line.endswith("\n")}
    assert len(told) >= acknowledged
    assert told <= set(stored(path))


async def test_a_file_that_cannot_be_opened_is_a_configuration_error_for_who_enters(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file.db"
    with pytest.raises(ConfigurationError, match="missing"):
        async with GroupWriter(lambda: connect(path), execute, sqlite3.Connection.close, BusError):
            pass


def test_a_file_held_by_another_process_is_in_use(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InUseError):
            connect(path)


def test_the_file_is_opened_durable(path: Path) -> None:
    with closing(connect(path)) as connection:
        pragmas = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}  # 2 is FULL


MOUNTS = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:35 / /home rw,relatime shared:20 - nfs4 server:/home rw,vers=4.2
41 22 254:1 / /home/local rw - xfs /dev/vdb rw
42 22 0:36 / /mnt/my\040data rw - fuse.sshfs me@there: rw
43 22 0:37 / /over rw - ext4 /dev/vdc rw
44 43 0:38 / /over rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/log.db", "ext4"),
        ("/home/me/log.db", "nfs4"),
        ("/homework/log.db", "ext4"),  # a mount point is no prefix of a name
        ("/home/local/log.db", "xfs"),  # the deepest mount point counts
        ("/mnt/my data/log.db", "fuse.sshfs"),  # blanks are escaped in the table
        ("/over/log.db", "cifs"),  # the later mount hides the earlier
    ],
)
def test_the_file_system_of_a_path_is_that_of_its_mount_point(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 254:0 / / rw - ext4 /dev/vda rw\n40 22 0:35 / {tmp_path} rw - nfs4 server:/home rw\n")
    monkeypatch.setattr(sqlite, "_MOUNTS", mounts)
    with pytest.raises(ConfigurationError, match=r"network file system \(nfs4\)"):
        connect(tmp_path / "log.db")
