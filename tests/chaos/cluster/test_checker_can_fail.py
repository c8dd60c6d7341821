"""The checker of a cluster notices what it is there for: each fault beside the same work of the product as it is.

The servers are shared by all of them: nothing here is killed but by a fault of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oscar_events.settings import KafkaSettings
from tests.acceptance.platform import until
from tests.chaos.checker import Kind
from tests.chaos.cluster.checker import check
from tests.chaos.cluster.evidence import collect, runs_of
from tests.chaos.cluster.installation import FAIL, Installation, running
from tests.chaos.cluster.notifier import DURABLE, FAST
from tests.chaos.cluster.poison import Poison
from tests.chaos.cluster.servers import TOKEN, Servers, running_store
from tests.chaos.cluster.uploads import BUCKET, FAILING, content_of
from tests.testbed.kafka import KafkaCluster
from tests.testbed.postgres import PostgresServer

SEED = 1
# The same digits in a row for both: path and time (ms since 1970), read on without lengths.
PAIR = {"in/pair1": 795273360288, "in/pair": 1795273360288}
NOBODY_LISTS = "no reconciler"


@pytest.fixture
def platform(
    kafka: KafkaCluster, kafka_settings: KafkaSettings, postgres: PostgresServer, minio_here: Path, tmp_path: Path
) -> Iterator[Installation]:
    """Return a platform with one of each component, and no notification told twice or never."""
    with running_store(tmp_path, SEED) as (minio, notifier):
        notifier.twice = notifier.never = 0
        servers = Servers(
            *(kafka, postgres, minio, notifier, kafka.bootstrap, postgres.new_database(), minio.endpoint),
            prefix=kafka_settings.topic_prefix,
        )
        yield Installation(tmp_path, servers, each=1)


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([], set()),
        (["hash without lengths", NOBODY_LISTS], {Kind.LOST, Kind.WRONG_RESULT}),
        (["quarantine away"], set()),
        (["quarantine away", "quarantine skipped on error"], {Kind.NOT_KEPT}),
        (["exit code ignored"], {Kind.WRONG_END}),
        (["outbox skipped"], {Kind.UNTOLD}),
        (["claim under any name"], {Kind.DOUBLED}),
    ],
)
def test_a_fault_is_found_by_what_it_does_and_nothing_is_without_one(
    platform: Installation, faults: list[str], expected: set[Kind]
) -> None:
    with running(platform, *faults):
        platform.apply(FAIL)
        acknowledged = [_upload(platform, "in/good"), _upload(platform, f"in/bad{FAILING}")]
        acknowledged += [_upload(platform, key, ms) for key, ms in PAIR.items()]
        poison = _poison(platform)
        acknowledged.append(_flush(platform))
        assert _found(platform, acknowledged, poison) == expected


@pytest.mark.parametrize(
    ("fault", "roads", "expected"),
    [
        ("killed before the claim", [FAST], set()),
        ("position before the claim", [FAST], {Kind.LOST, Kind.WRONG_RESULT}),
        ("position before the claim", [FAST, DURABLE], set()),  # the second net holds: the same event comes once more
    ],
)
def test_a_position_stored_before_the_claim_loses_the_object_that_a_kill_falls_between(
    platform: Installation, fault: str, roads: list[str], expected: set[Kind]
) -> None:
    with running(platform, fault, NOBODY_LISTS):
        [dispatcher] = platform.dispatchers
        platform.apply("")
        platform.announce(*roads)
        between = _upload(platform, "in/between")
        until(dispatcher.ended_by_itself, "the dispatcher is killed")
        dispatcher.kill()
        dispatcher.faults = ()
        dispatcher.start()
        assert _found(platform, [between, _flush(platform)], set()) == expected


def _upload(platform: Installation, key: str, modified_ms: int | None = None) -> str:
    name = f"{BUCKET}/{key}"
    modified = None if modified_ms is None else datetime.fromtimestamp(modified_ms / 1000, UTC)
    platform.servers.minio.client.put(BUCKET, key.encode(), content_of(SEED, name), modified)
    return name


def _poison(platform: Installation) -> set[str]:
    """Send one that the webhook takes, and one straight to the topic."""
    topic = f"{platform.servers.prefix}oscar.events"
    ports = [ingest.port for ingest in platform.ingests]
    poison = Poison(ports, TOKEN, platform.servers.broker, topic, SEED)
    poison.send_to_webhook()
    poison.send_to_topic()
    return poison.taken


def _flush(platform: Installation) -> str:
    """Upload one more and wait until all runs there are have ended, this one's too: what has none by then is lost."""
    name = _upload(platform, "in/last")
    until(lambda: _all_ended(platform, name), "all runs have ended")
    return name


def _all_ended(platform: Installation, last: str) -> bool:
    servers = platform.servers
    runs = runs_of(platform)
    untold = servers.postgres.execute("SELECT count(*) FROM outbox", servers.database).strip()
    has_last = any(f"{run['bucket']}/{run['key']}" == last for run in runs)
    return has_last and untold == "0" and all(run["has_ended"] for run in runs)


def _found(platform: Installation, acknowledged: list[str], poison: set[str]) -> set[Kind]:
    findings = check(collect(platform, SEED, set(acknowledged), poison))
    print(*findings, sep="\n")
    return {finding.kind for finding in findings}
