"""The doctor finds each thing that is broken, says what mends it, and finds nothing once that is done."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from oscar_events import sqlite
from oscar_events.bus.port import QUARANTINE
from oscar_events.bus.sqlite import SqliteBus
from oscar_events.config import PlatformConfig
from oscar_events.datadir import DataDirectory
from oscar_events.doctor import databases, storage
from oscar_events.doctor import directory as directory_checks
from oscar_events.doctor.examination import FrontAnswer, examine
from oscar_events.doctor.finding import Finding, Level
from oscar_events.holder import LOCK_NAME
from oscar_events.ledger import services, tables
from oscar_events.ledger.positions import record_gap
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.manager.laptop import laptop_control
from oscar_events.quarantine import quarantine_record
from oscar_events.service import Service
from tests.unit.oscar_events.manager.runs_in_ledger import begin, drop, finish


@dataclass
class Patient:
    """A data directory that was a platform's, and that nobody holds."""

    directory: DataDirectory

    async def findings(self, front: FrontAnswer | None = None) -> list[Finding]:
        """Return what there is to mend."""
        return [one for one in await examine(self.directory, front) if one.level is not Level.OK]

    async def write(self, unit: Callable[[Connection], Any]) -> Any:
        async with SqliteLedger(self.directory.ledger_db) as ledger:
            return await ledger.write(unit)


BLUR = {
    "name": "blur",
    "image": "busybox",
    "script": "true",
    "input": [{"storage_provider": "local", "path": "pics/in"}],
    "output": [{"storage_provider": "local", "path": "pics/out"}],
}


@pytest.fixture
async def patient(tmp_path: Path) -> Patient:
    directory = DataDirectory(tmp_path / "data")
    async with (
        directory.lock(),
        SqliteLedger(directory.ledger_db) as ledger,
        SqliteBus(directory.log_db) as bus,
    ):
        await laptop_control(ledger, bus, directory, PlatformConfig()).apply([BLUR])
    return Patient(directory)


async def test_a_platform_with_nothing_wrong_has_nothing_to_mend(patient: Patient) -> None:
    assert await patient.findings() == []
    assert await patient.findings(FrontAnswer()) == []
    assert not (patient.directory.path / "up.json").exists()


async def test_a_directory_that_was_never_used_is_no_more_than_that(tmp_path: Path) -> None:
    [missing] = await Patient(DataDirectory(tmp_path / "none")).findings()
    assert "is not there" in missing.what
    (tmp_path / "file").touch()
    [file] = await Patient(DataDirectory(tmp_path / "file")).findings()
    assert "is a file" in file.what
    [strange] = await Patient(DataDirectory(tmp_path)).findings()
    assert "was never a data directory" in strange.what
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]  # nothing was made in looking


def chmod(path: Path, broken: int, mended: int) -> tuple[Callable[[], object], Callable[[], object]]:
    return lambda: path.chmod(broken), lambda: path.chmod(mended)


def written(path: Path, text: str) -> tuple[Callable[[], object], Callable[[], object]]:
    return lambda: path.write_text(text), path.unlink


def removed(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    return lambda: shutil.rmtree(path), path.mkdir


Breaking = Callable[[DataDirectory], tuple[Callable[[], object], Callable[[], object]]]

# What is broken and mended; the check; its level; what was found; what the fix says.
BROKEN: dict[str, tuple[Breaking, str, Level, str, str]] = {
    "others may enter the directory": (
        lambda d: chmod(d.path, 0o755, 0o700),
        "directory",
        Level.WARNING,
        "mode 0755",
        "chmod 700",
    ),
    "the folder of jobs is missing": (lambda d: removed(d.jobs), "directory", Level.ERROR, "is missing", "mkdir"),
    "the folder of an input is missing": (
        lambda d: removed(d.buckets / "pics/in"),
        "buckets",
        Level.ERROR,
        "service blur: ",
        "mkdir -p",
    ),
    "the configuration has a mistake": (
        lambda d: written(d.config, "sources: {minio: {tokens: [0123456789abcdef]}}\n"),
        "config",
        Level.ERROR,
        "provider",
        "what runs goes on as it said before, and nothing starts",
    ),
    "the configuration holds secrets for all to read": (
        lambda d: written(d.config, "sources: {minio: {provider: minio, tokens: [0123456789abcdef]}}\n"),
        "config",
        Level.ERROR,
        "chmod 600",
        "mend",
    ),
    "a source is of a tenant that has no services": (
        lambda d: (
            lambda: _private(d.config, "sources: {lab: {provider: local, tenant: lab, tokens: [0123456789abcdef]}}\n"),
            d.config.unlink,
        ),
        "sources",
        Level.WARNING,
        "source lab: its events start nothing, as the tenant lab has no services",
        "take `tenant` out of sources.lab",
    ),
    "a platform was killed": (
        lambda d: (lambda: d.write_up(4711, "token"), (d.path / "up.json").unlink),
        "leftovers",
        Level.WARNING,
        "was killed",
        "start it again",
    ),
    "up.json is cut short": (
        lambda d: (lambda: _private(d.path / "up.json", "{"), (d.path / "up.json").unlink),
        "leftovers",
        Level.WARNING,
        "up.json cannot be read",
        "start it again",
    ),
    "a secret can be read by others": (
        lambda d: (lambda: _secret(d, 0o644), lambda: (d.secrets / "abc").chmod(0o600)),
        "secrets",
        Level.ERROR,
        "mode 0644",
        "chmod 600",
    ),
    "a run was left behind": (
        lambda d: (lambda: _run_left(d), lambda: shutil.rmtree(d.jobs / "abc")),
        "leftovers",
        Level.WARNING,
        "something may still be running, without a platform: abc",
        "start it again",
    ),
    "the ledger is of a newer version": (
        lambda d: (
            lambda: _sql(d.ledger_db, "UPDATE alembic_version SET version_num = '9999'"),
            lambda: _sql(d.ledger_db, "UPDATE alembic_version SET version_num = '0002'"),
        ),
        "ledger",
        Level.ERROR,
        "newer version",
        "install the newer oscar-events",
    ),
    "the log is of a newer version": (
        lambda d: (
            lambda: _sql(d.log_db, "PRAGMA user_version = 99"),
            lambda: _sql(d.log_db, "PRAGMA user_version = 2"),
        ),
        "log",
        Level.ERROR,
        "schema 99",
        "install the newer oscar-events",
    ),
    "the ledger is no database": (
        lambda d: _overwritten(d.ledger_db),
        "integrity",
        Level.ERROR,
        "file is not a database",
        "restore a backup",
    ),
    "the log is damaged": (lambda d: _overwritten(d.log_db), "integrity", Level.ERROR, "log.db", "restore a backup"),
}


def _private(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def _secret(directory: DataDirectory, mode: int) -> None:
    directory.secrets.mkdir(mode=0o700)
    (directory.secrets / "abc").write_text("value")
    (directory.secrets / "abc").chmod(mode)


def _run_left(directory: DataDirectory) -> None:
    (directory.jobs / "abc").mkdir()
    (directory.jobs / "abc" / LOCK_NAME).write_text('{"boot": "", "worker": {"pid": 1, "start": 1}, "script": null}')


def _sql(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def _overwritten(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    whole = path.read_bytes()
    return lambda: path.write_bytes(b"x" * len(whole)), lambda: path.write_bytes(whole)


async def test_the_commands_that_mend_work_as_they_are_printed_also_with_odd_names(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "my $data")
    place = {"storage_provider": "local", "path": "pics/my $folder"}
    async with directory.lock(), SqliteLedger(directory.ledger_db) as ledger, SqliteBus(directory.log_db) as bus:
        await laptop_control(ledger, bus, directory, PlatformConfig()).apply([{**BLUR, "input": [place]}])
    patient = Patient(directory)
    shutil.rmtree(directory.buckets / place["path"])
    _secret(directory, 0o644)
    directory.path.chmod(0o755)
    found = await patient.findings()
    assert {one.check for one in found} == {"directory", "secrets", "buckets"}
    for one in found:
        mending = await asyncio.create_subprocess_shell(one.fix)
        assert await mending.wait() == 0
    assert await patient.findings() == []


async def test_a_file_in_the_place_of_an_inputs_folder_is_told(patient: Patient) -> None:
    shutil.rmtree(patient.directory.buckets / "pics")
    (patient.directory.buckets / "pics").touch()
    found = await patient.findings()
    assert all("buckets/pics is a file" in one.what and "move it away" in one.fix for one in found)
    assert {one.check for one in found} == {"buckets"}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_broken_is_found_with_its_fix_and_gone_once_mended(patient: Patient, name: str) -> None:
    breaking, check, level, what, fix = BROKEN[name]
    broken, mended = breaking(patient.directory)
    broken()
    [found] = await patient.findings()
    assert (found.check, found.level) == (check, level)
    assert what in found.what
    assert fix in found.fix
    mended()
    assert await patient.findings() == []


async def test_all_mistakes_of_the_configuration_are_told_at_once(patient: Patient) -> None:
    text = "sources: {lab: {tokens: [canary]}, 'no name': {provider: minio, tokens: [0123456789abcdef]}}\nstorage: {}\n"
    _private(patient.directory.config, text)
    [found] = await patient.findings()
    for said in ("no provider", "a token of 6 characters", "'no name'", "storage_providers"):
        assert said in found.what
    assert "canary" not in found.what


async def test_files_of_an_older_version_are_no_trouble_the_next_start_brings_them_up_to_date(patient: Patient) -> None:
    _sql(patient.directory.ledger_db, "UPDATE alembic_version SET version_num = '0001'")
    _sql(patient.directory.log_db, "PRAGMA user_version = 1")
    found = {one.check: one.what for one in await examine(patient.directory, None)}
    assert "the next start brings it up to date" in found["ledger"]
    assert "schema 1; the next start brings it to 2" in found["log"]
    assert await patient.findings() == []
    with closing(sqlite3.connect(patient.directory.ledger_db)) as connection:  # looking has not done it
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]


async def test_a_directory_on_a_network_file_system_is_refused(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("1 0 0:1 / / rw - nfs4 server:/home rw\n")
    monkeypatch.setattr(sqlite, "_MOUNTS", mounts)
    [found] = await patient.findings()
    assert "network file system (nfs4)" in found.what
    assert "local disk" in found.fix
    mounts.write_text("1 0 0:1 / / rw - ext4 /dev/sda rw\n")
    assert await patient.findings() == []


async def test_a_disk_that_runs_full_is_told_before_it_is(patient: Patient) -> None:
    def level(free: int) -> Level:
        [found] = directory_checks.free_disk(patient.directory, free)
        assert found.level is Level.OK or "make room" in found.fix
        return found.level

    megabyte = 1024**2
    assert [level(free * megabyte) for free in (50, 500, 5000)] == [Level.ERROR, Level.WARNING, Level.OK]


async def test_clocks_that_are_apart_are_told(patient: Patient) -> None:
    now = datetime.now(UTC).timestamp()
    [apart] = directory_checks.clock(patient.directory, now + 60)
    assert apart.level is Level.WARNING
    assert "set the clock" in apart.fix
    [together] = directory_checks.clock(patient.directory)
    assert together.level is Level.OK


async def test_a_database_too_large_to_be_read_in_time_is_no_error(patient: Patient) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT i, 'text' FROM n"
    _sql(patient.directory.log_db, f"CREATE TABLE many AS {rows}")
    [found] = databases.integrity(patient.directory.log_db, seconds=0)
    assert found.level is Level.OK
    assert "too large" in found.what


async def test_dead_letters_wait_for_somebody_until_they_are_purged(patient: Patient) -> None:
    async with SqliteLedger(patient.directory.ledger_db) as ledger:
        await drop(ledger, "in/a.png")
        uid = await ledger.read(lambda connection: services.uid_of(connection, "default", "blur"))
        await finish(ledger, *await begin(ledger, uid), exit_code=1)
    [found] = await patient.findings()
    assert (found.check, found.level) == ("dead letters", Level.WARNING)
    assert "oscar-events deadletters list" in found.fix
    await patient.write(lambda connection: connection.execute(update(tables.executions).values(purged_at=1)))
    assert await patient.findings() == []


async def test_messages_in_quarantine_wait_for_somebody_until_they_are_settled(patient: Patient) -> None:
    async with SqliteBus(patient.directory.log_db) as bus:
        [(partition, offset)] = await bus.publish(
            QUARANTINE, [quarantine_record(b"x", "minio", "not_json", datetime.now(UTC))]
        )
        topic = await bus.topic_id(QUARANTINE)
    [found] = await patient.findings()
    assert (found.check, found.what) == ("quarantine", "messages that came in and are no usable events: 1")
    assert "oscar-events quarantine list" in found.fix
    row = {"topic_id": topic, "partition": partition.number, "offset": offset, "how": "purged", "settled_at": 1}
    await patient.write(lambda connection: connection.execute(insert(tables.quarantine_settled).values(row)))
    assert await patient.findings() == []


async def test_a_replay_that_nobody_goes_on_with_is_told_unless_a_platform_runs(patient: Patient) -> None:
    row: dict[str, Any] = dict.fromkeys(("id", "tenant", "service_uid", "service", "topic_id", "reason"), "x")
    row |= dict.fromkeys(("from_ms", "to_ms", "read", "matched", "made", "created_at"), 0) | {"as_new": False}
    await patient.write(lambda connection: connection.execute(insert(tables.replays).values(row)))
    [found] = await patient.findings()
    assert (found.check, found.level) == ("replays", Level.WARNING)
    assert "oscar-events replay resume" in found.fix
    assert await patient.findings(FrontAnswer()) == []
    await patient.write(lambda connection: connection.execute(update(tables.replays).values(ended_at=1)))
    assert await patient.findings() == []


async def test_events_that_left_the_log_unread_are_told(patient: Patient) -> None:
    await patient.write(lambda connection: record_gap(connection, "topic", 0, 3, 10))
    [found] = await patient.findings()
    assert (found.check, found.level) == ("gaps", Level.WARNING)
    assert found.what.startswith("7 events had left the log before they were read")


async def test_what_a_running_platform_says_of_itself_is_told(patient: Patient) -> None:
    def lines(found: list[Finding]) -> list[tuple[Level, str]]:
        return [(one.level, one.what) for one in found]

    away = await patient.findings(FrontAnswer("the platform (process 1, port 2) does not answer"))
    assert lines(away) == [(Level.ERROR, "the platform (process 1, port 2) does not answer")]
    troubles = {"config.yaml": "broken", "storage_providers": "changed"}
    found = await patient.findings(FrontAnswer(reasons={"ingest": "listing"}, troubles=troubles))
    assert lines(found) == [
        (Level.ERROR, "ingest is not ready: listing"),
        (Level.WARNING, "config.yaml: broken"),
        (Level.WARNING, "storage_providers: changed"),
    ]
    assert [one.fix for one in found[1:]] == [
        "mend it; a restart is not needed",
        "restart the platform, or put config.yaml back as it was",
    ]


class Store:
    """An S3 store that gives one answer. answer: status and code; 200 is an empty listing."""

    def __init__(self) -> None:
        self.answer = (200, "")
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, code = store.answer
                listing = "<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
                if "notification" in self.path:  # of all that is created in the bucket, to somebody
                    rule = "<Queue>arn:minio:sqs::T:webhook</Queue><Event>s3:ObjectCreated:*</Event>"
                    queue = f"<QueueConfiguration>{rule}</QueueConfiguration>"
                    listing = f"<NotificationConfiguration>{queue}</NotificationConfiguration>"
                body = (listing if status == 200 else f"<Error><Code>{code}</Code></Error>").encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port


@contextmanager
def running(store: Store) -> Iterator[Store]:
    thread = threading.Thread(target=store.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield store
    finally:
        store.server.shutdown()
        thread.join()
        store.server.server_close()


async def reads_from_minio(patient: Patient) -> None:
    """Have a service read from minio.lab, defined nowhere."""
    document = {**BLUR, "name": "lab", "input": [{"storage_provider": "minio.lab", "path": "raw/in"}]}
    service = Service.from_document(document)
    await patient.write(lambda connection: services.apply(connection, "default", service, datetime.now(UTC)))


def configure(directory: DataDirectory, port: int) -> None:
    _private(
        directory.config,
        f"sources: {{lab: {{provider: minio.lab, tokens: [0123456789abcdef]}}}}\n"
        f"storage_providers: {{minio: {{lab: {{endpoint: 'http://127.0.0.1:{port}', access_key: a, "
        "secret_key: bcdefghi}}}\n",
    )


async def test_a_store_that_nobody_defines_or_tells_of_is_found(patient: Patient) -> None:
    await reads_from_minio(patient)
    sources, undefined = await patient.findings()
    assert (sources.check, sources.level) == ("sources", Level.WARNING)
    assert "add a source with `provider: minio.lab`" in sources.fix
    assert (undefined.check, undefined.level) == ("storage", Level.ERROR)
    assert "nobody defines minio.lab" in undefined.what
    with running(Store()) as store:
        configure(patient.directory, store.port)
        assert await patient.findings() == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((404, "NoSuchBucket"), "the bucket must be made"),
        ((403, "InvalidAccessKeyId"), "`access_key` must be mended"),
        ((403, "SignatureDoesNotMatch"), "`secret_key` must be mended"),
    ],
)
async def test_what_a_store_refuses_is_told_in_words(patient: Patient, answer: tuple[int, str], said: str) -> None:
    await reads_from_minio(patient)
    with running(Store()) as store:
        configure(patient.directory, store.port)
        store.answer = answer
        [found] = await patient.findings()
        assert (found.check, found.level) == ("storage", Level.ERROR)
        assert said in found.what
        assert ("make the bucket, like `mc mb" in found.fix) == (answer[1] == "NoSuchBucket")
        assert "bcdefghi" not in found.what + found.fix
        store.answer = (200, "")
        assert await patient.findings() == []


async def test_a_store_that_does_not_answer_is_not_waited_for(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "ANSWER_SECONDS", 0.3)
    await reads_from_minio(patient)
    store = Store()
    store.server.server_close()
    configure(patient.directory, store.port)
    [found] = await patient.findings()
    assert "127.0.0.1" in found.what
    assert "start the store if it is down" in found.fix


async def test_a_backend_that_is_not_here_is_told(patient: Patient) -> None:
    service = Service.from_document({**BLUR, "name": "cluster", "dispatch": {"backend": "kubernetes"}})
    await patient.write(lambda connection: services.apply(connection, "default", service, datetime.now(UTC)))
    [found] = await patient.findings()
    assert "service cluster asks for the backend kubernetes" in found.what
    await patient.write(lambda connection: services.end(connection, "default", "cluster"))
    assert await patient.findings() == []


async def test_a_directory_that_cannot_be_written_to_is_told(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:  # a mode would not keep root out
        patched.setattr(os, "access", lambda path, mode: path != patient.directory.buckets)
        [found] = [one for one in await patient.findings() if one.check == "directory"]
    assert "cannot be written to" in found.what
    assert "chmod u+rwx" in found.fix
    assert await patient.findings() == []


@pytest.mark.parametrize(
    "text",
    ["kafka: {bootstrap_server: 'a:1'}\n", "ingest: {listen: '127.0.0.1:808O'}\n", "sources: {a: {tokns: [b]}}\n"],
)
async def test_where_only_a_broken_configuration_lies_that_is_told_and_no_directory_missed(
    tmp_path: Path, text: str
) -> None:
    _private(tmp_path / "config.yaml", text)
    [found] = await Patient(DataDirectory(tmp_path)).findings()
    assert (found.check, found.level) == ("config", Level.ERROR)
    assert "config.yaml, line 1" in found.what


async def test_a_source_that_names_a_provider_nobody_defines_is_told_instead_of_the_services(patient: Patient) -> None:
    await reads_from_minio(patient)
    with running(Store()) as store:
        configure(patient.directory, store.port)
        mended = patient.directory.config.read_text()
        patient.directory.config.write_text(mended.replace("provider: minio.lab", "provider: minio.lba"))
        [found] = await patient.findings()
        assert (found.check, found.level) == ("sources", Level.WARNING)
        assert found.what == "source lab: nobody defines its provider minio.lba"
        assert "write `provider: minio.lab` if that is meant" in found.fix
        patient.directory.config.write_text(mended.replace("provider: minio.lab", "provider: s3.other"))
        undefined, untold = await patient.findings()
        assert "nobody defines its provider s3.other" in undefined.what
        assert "write `provider" not in undefined.fix
        assert "service lab: no source tells of the objects in input[0], minio.lab" in untold.what
