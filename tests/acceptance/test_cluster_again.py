"""Dead letters, the quarantine, replays and backfills of a cluster: over Kafka and PostgreSQL as on a laptop.

One cluster for all of it; each test has services and a bucket of its own. Beside it: test_again.py, the laptop's.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from signal import SIGKILL
from typing import Any

import asyncpg
import pytest

from oscar_events.settings import KafkaSettings, TopicSettings
from tests.acceptance.cluster import TOKEN, Cluster, running_cluster
from tests.acceptance.platform import COMMAND, COPY, DEADLINE_S, clean_environment, until
from tests.acceptance.test_cluster import notification, upload
from tests.testbed.kafka import KafkaCluster
from tests.testbed.minio import MinioServer
from tests.testbed.postgres import PostgresServer

# Whoever replays stands here while a test holds this lock: about to write what a batch starts that is not the first.
GATE = 5
STAND = f"""
CREATE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql AS '
    BEGIN
        IF EXISTS (SELECT FROM replay_positions WHERE next_offset > 0) THEN
            PERFORM pg_advisory_xact_lock_shared({GATE});
        END IF;
        RETURN NEW;
    END';
CREATE TRIGGER stand BEFORE INSERT ON executions FOR EACH ROW EXECUTE FUNCTION stand()
"""
STANDING = f"pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted"
# More than each of the four partitions gives in one batch (256); so many are for the service, and lie among all.
TOLD, MISSED = 1600, 40


class Scene:
    """The cluster, its ingest, and the dispatcher that is there now."""

    def __init__(self, cluster: Cluster, database: str) -> None:
        self.cluster, self.database = cluster, database
        self.ingest = cluster.start("ingest")
        self.dispatcher = cluster.start("dispatcher")
        for component in (self.ingest, self.dispatcher):
            component.await_ready()

    def ask(self, *words: str, code: int = 0) -> str:
        """Run a command that ends with this code; return what it prints."""
        asked = self.cluster.ask(*words)
        said = asked.stdout + asked.stderr
        assert asked.returncode == code, said
        return said

    def told(self, *words: str) -> Any:
        """Return what a command tells as JSON."""
        return json.loads(self.cluster.ask(*words, "--json").stdout)

    def apply(self, name: str, script: str, bucket: str) -> None:
        applied = self.cluster.apply(name, script, bucket)
        assert applied.returncode == 0, applied.stderr

    def runs(self, service: str, *states: str) -> list[dict[str, Any]]:
        return [run for run in self.cluster.runs("--service", service) if not states or run["state"] in states]

    def configure(self, **sources: Any) -> None:
        """Have these sources beside the one there is."""
        file = self.cluster.data / "config.yaml"
        document = json.loads(file.read_text())
        document["sources"].update(sources)
        made = file.with_name("made.yaml")
        made.write_text(json.dumps(document))
        made.chmod(0o600)
        made.rename(file)

    def post(self, source: str, body: bytes) -> int:
        return self.ingest.ask("POST", f"/ingest/{source}", body, Authorization=f"Bearer {TOKEN}")[0]


@pytest.fixture(scope="module")
def at(
    tmp_path_factory: pytest.TempPathFactory, kafka: KafkaCluster, postgres: PostgresServer, minio: MinioServer
) -> Iterator[Scene]:
    topics = TopicSettings(partitions=4, durability="single")
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap, topic_prefix="again.", topics=topics)
    database = postgres.new_database()
    with running_cluster(tmp_path_factory.mktemp("again") / "data") as cluster:
        cluster.configure(settings, database, minio.endpoint)
        cluster.prepare()
        yield Scene(cluster, database)


def test_a_dead_letter_is_redriven_once_however_often_and_by_however_many(
    at: Scene, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("dead")
    at.apply("fails", "echo no such tool >&2; exit 7", bucket)
    upload(at.cluster, minio, bucket, "in/a.txt")
    [dead] = until(lambda: at.runs("fails", "dead"), "it is dead")
    run = dead["id"]
    assert [letter["id"] for letter in at.told("deadletters")] == [run]
    shown = at.ask("deadletters", "show", run)
    assert "no such tool" in shown
    assert f"deadletters redrive {run}" in shown

    at.apply("fails", COPY, bucket)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: at.ask("deadletters", "redrive", run), range(2)))
    assert "left as it is: it was sent again before" in at.ask("deadletters", "redrive", run)
    until(lambda: at.runs("fails", "succeeded"), "the mended service has succeeded")
    again, first = at.runs("fails")
    assert (again["state"], again["redrive_of"], first["id"]) == ("succeeded", run, run)
    result = minio.client.get(bucket, b"out/a.txt")
    assert result is not None
    assert result.body == b"content"
    assert at.ask("deadletters") == "No dead letters.\n"


def test_what_no_adapter_understands_is_kept_and_runs_once_its_source_is_configured_right(
    at: Scene, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket, body = new_bucket("refused"), b'\xff\x00 "binary"'
    source = {"provider": "minio.tool", "tokens": [TOKEN]}
    at.apply("reads", 'cp "$EVENT_FILE" "$TMP_OUTPUT_DIR/message"', bucket)
    at.configure(tool=source)
    until(lambda: at.post("tool", body) == 202, "the source is configured")
    [record] = at.told("quarantine", "list")
    shown = at.ask("quarantine", "show", record["id"])
    assert "names no service" in shown
    assert "ff 00" in shown
    assert "names no service" in at.ask("quarantine", "redrive", record["id"], code=4)
    assert at.runs("reads") == []

    at.configure(tool=source | {"service": "reads"})
    at.ask("quarantine", "redrive", record["id"])
    until(lambda: at.runs("reads", "succeeded"), "what was refused has run")
    result = minio.client.get(bucket, b"out/message")
    assert result is not None
    assert result.body == body
    assert at.ask("quarantine") == "Nothing in quarantine.\n"
    assert "left as it is" in at.ask("quarantine", "redrive", record["id"])
    assert len(at.runs("reads")) == 1


def test_what_lay_in_the_store_before_its_service_runs_when_it_is_backfilled_and_once(
    at: Scene, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("before")
    keys = [f"in/{number}.txt" for number in range(5)]
    for key in keys:
        minio.client.put(bucket, key.encode(), b"content")
    at.apply("late-reader", COPY, bucket)
    assert at.told("backfill", "late-reader", "--dry-run")["made"] == 5
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: at.told("backfill", "late-reader"), range(2)))
    assert [(done["listed"], done["matched"], done["ended"]) for done in both] == [(5, 5, True)] * 2
    assert sum(done["made"] for done in both) == 5
    until(lambda: len(at.runs("late-reader", "succeeded")) == 5, "each has run")
    assert at.told("backfill", "late-reader")["made"] == 0
    assert Counter(run["key"] for run in at.runs("late-reader")) == dict.fromkeys(keys, 1)


async def test_a_replay_whose_command_and_dispatcher_are_killed_halfway_gives_a_late_service_each_event_once(
    at: Scene, minio: MinioServer, postgres: PostgresServer, new_bucket: Callable[[str], str]
) -> None:
    bucket, name = new_bucket("missed"), at.database.rpartition("/")[2]
    missed = [f"in/{number}.txt" for number in range(MISSED)]
    _tell_among_others(at, minio, bucket, missed)
    at.apply("late", COPY, bucket)
    replaying = ("replay", "--from", "1h", "--service", "late")
    assert f"{MISSED} new runs" in at.ask(*replaying, "--dry-run")

    def stands() -> bool:
        return postgres.execute(f"SELECT pid FROM {STANDING}", name) != ""

    async def killed() -> None:
        # The server notices that nobody is at the other end of a session only when it answers it.
        await gate.execute(f"SELECT pg_terminate_backend(pid) FROM {STANDING}")

    gate = await asyncpg.connect(at.database)
    try:
        await gate.execute(STAND)
        await gate.execute(f"SELECT pg_advisory_lock({GATE})")
        command = await asyncio.create_subprocess_exec(
            *(COMMAND, "--data", at.cluster.data, *replaying), env=clean_environment(), stderr=subprocess.DEVNULL
        )
        until(stands, "a batch is under way")
        command.kill()
        await command.wait()
        await killed()
        until(stands, "the dispatcher goes on with what the command left")
        at.dispatcher.stop(SIGKILL)
        await killed()
        [left] = at.told("replay", "list")
        assert left["ended_at"] is None
        assert left["read"] > 0
        assert left["left"] > 0
        assert len(at.runs("late")) == left["made"] < MISSED
    finally:
        await gate.close()
    resumed = at.told("replay", "resume")
    assert (resumed["id"], resumed["made"], resumed["left"]) == (left["id"], MISSED, 0)

    at.dispatcher = at.cluster.start("dispatcher")
    until(lambda: len(at.runs("late", "succeeded")) == MISSED, "all have run", 2 * DEADLINE_S)
    assert f"0 new runs, {MISSED} had theirs already" in at.ask(*replaying)
    assert Counter(run["key"] for run in at.runs("late")) == dict.fromkeys(missed, 1)
    results = [key for key in minio.client.keys(bucket) if key.startswith("out/")]
    assert sorted(results) == sorted(key.replace("in/", "out/") for key in missed)


def _tell_among_others(at: Scene, minio: MinioServer, bucket: str, keys: list[str]) -> None:
    """Put these objects and tell of them, each after some that nobody wants."""
    records: list[dict[str, Any]] = []
    for key in keys:
        others = [f"elsewhere/{number}" for number in range(len(records), len(records) + TOLD // MISSED - 1)]
        etags = dict.fromkeys(others, "0" * 32) | {key: minio.client.put(bucket, key.encode(), b"content").etag}
        for name, etag in etags.items():
            records += json.loads(notification(bucket, name, etag, 7))["Records"]
    for start in range(0, len(records), 100):
        some = records[start : start + 100]
        status, answer = at.ingest.post(json.dumps({"Records": some}).encode())
        assert (status, answer["accepted"]) == (202, len(some))
