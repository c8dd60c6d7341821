"""Topics on a real broker: made, grown, checked, refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import NewTopic
from pydantic import SecretStr

from oscar_events.bus.kafka_topics import check_topics, create_topics, require_safe_topics
from oscar_events.bus.port import EVENTS
from oscar_events.cli.exit_codes import ExitCode
from oscar_events.errors import ConfigurationError, ConflictError
from oscar_events.settings import KafkaSettings, TopicSettings
from tests.testbed.kafka import KafkaCluster, running_kafka
from tests.testbed.topics import administrator

REPLICATED = TopicSettings(partitions=2)


async def make_by_hand(settings: KafkaSettings, partitions: int = 1, **configs: str) -> None:
    """Make the topic of events as somebody else would."""
    given = {name.replace("_", "."): value for name, value in configs.items()}
    async with administrator(settings) as client:
        answer = await client.create_topics(
            [NewTopic(settings.topic_prefix + EVENTS, partitions, 1, topic_configs=given)]
        )
    assert [code for _, code, _ in answer.topic_errors] == [0]


async def test_what_is_missing_is_made_and_what_is_there_left_alone(kafka_settings: KafkaSettings) -> None:
    assert [report.found for report in await check_topics(kafka_settings)] == [None] * 4
    made = await create_topics(kafka_settings)
    assert [(report.change, report.is_safe) for report in made] == [("created", True)] * 4
    assert [len(report.found.replicas) for report in made if report.found] == [4, 1, 1, 1]
    again = await create_topics(kafka_settings)
    assert [(report.change, report.found) for report in again] == [("", report.found) for report in made]
    await require_safe_topics(kafka_settings)


async def test_partitions_are_added_on_request_and_never_taken(kafka_settings: KafkaSettings) -> None:
    await create_topics(kafka_settings)
    [events, *others] = await create_topics(kafka_settings, partitions=7)
    assert events.found is not None
    assert (events.change, len(events.found.replicas)) == ("grown from 4", 7)
    assert {report.change for report in others} == {""}
    with pytest.raises(ConflictError, match="has 7 partitions, and partitions can only grow"):
        await create_topics(kafka_settings, partitions=6)
    [events, *_] = await create_topics(kafka_settings, partitions=7)
    assert events.change == ""


async def test_components_refuse_topics_that_are_missing_or_lose_events(kafka_settings: KafkaSettings) -> None:
    with pytest.raises(ConfigurationError, match=r"missing are .*oscar\.events.*; run `oscar-events topics create`"):
        await require_safe_topics(kafka_settings)
    await make_by_hand(kafka_settings, 4, cleanup_policy="compact", retention_ms="3600000", max_message_bytes="65536")
    reports = await create_topics(kafka_settings)
    assert [report.change for report in reports] == ["", "created", "created", "created"]
    assert {problem.setting for problem in reports[0].problems} == {
        "cleanup.policy",
        "retention.ms",
        "max.message.bytes",
    }
    with pytest.raises(ConfigurationError, match=r"oscar\.events \(cleanup\.policy is compact") as refused:
        await require_safe_topics(kafka_settings)
    assert "executions" not in str(refused.value)


async def test_a_topic_of_somebody_elses_prefix_is_not_looked_at(kafka_settings: KafkaSettings) -> None:
    await make_by_hand(kafka_settings.model_copy(update={"topic_prefix": kafka_settings.topic_prefix + "other."}))
    assert [report.found for report in await check_topics(kafka_settings)] == [None] * 4


async def test_too_few_brokers_are_told_with_both_remedies_and_nothing_is_made(kafka_settings: KafkaSettings) -> None:
    replicated = kafka_settings.model_copy(update={"topics": REPLICATED})
    with pytest.raises(ConfigurationError, match=r"has 1 broker; add brokers, or for a trial set .*durability"):
        await create_topics(replicated)
    assert [report.found for report in await check_topics(replicated)] == [None] * 4


async def test_a_topic_that_was_made_for_a_trial_is_refused_where_events_must_not_be_lost(
    kafka_settings: KafkaSettings,
) -> None:
    await create_topics(kafka_settings)
    with pytest.raises(ConfigurationError, match=r"oscar\.events \(replication factor is 1, min\.insync") as refused:
        await require_safe_topics(kafka_settings.model_copy(update={"topics": REPLICATED}))
    assert "`oscar-events topics check` tells what mends each" in str(refused.value)
    assert "kafka-configs.sh" not in str(refused.value)


@pytest.fixture
def kafka_with_acls(kafka_here: Path, tmp_path: Path) -> Any:
    acls = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:ANONYMOUS",
    }
    with running_kafka(tmp_path / "kafka", secure=True, extra=acls) as cluster:
        yield cluster


async def test_who_may_not_is_told_what_an_administrator_has_to_allow(kafka_with_acls: KafkaCluster) -> None:
    own = KafkaSettings(
        bootstrap_servers=kafka_with_acls.sasl_bootstrap,
        security_protocol="SASL_SSL",
        sasl_username="alice",
        sasl_password=SecretStr(kafka_with_acls.users["alice"]),
        ca_file=kafka_with_acls.ca,
        topics=TopicSettings(durability="single"),
    )
    for doing in (create_topics, check_topics, require_safe_topics):
        with pytest.raises(ConfigurationError, match=r"does not let the user alice .*kafka-acls\.sh .*User:alice"):
            await doing(own)
    password = SecretStr(kafka_with_acls.users["admin"])
    of_admin = own.model_copy(update={"sasl_username": "admin", "sasl_password": password})
    assert all(report.is_safe for report in await create_topics(of_admin))


async def test_three_brokers_hold_three_copies_and_more_copies_are_made_by_the_command_that_is_told(
    kafka_here: Path, tmp_path: Path
) -> None:
    with running_kafka(tmp_path / "kafka", brokers=3) as cluster:
        settings = KafkaSettings(bootstrap_servers=cluster.bootstrap, topics=REPLICATED)
        await make_by_hand(settings, 2, min_insync_replicas="2")
        [events, *others] = await create_topics(settings)
        assert all(report.is_safe for report in others)
        assert {len(replicas) for report in others if report.found for replicas in report.found.replicas} == {3}
        fix = next(problem.fix for problem in events.problems if problem.setting == "replication factor")
        moves = json.loads(fix.partition("echo '")[2].rpartition("'")[0])
        assert [sorted(one["replicas"]) for one in moves["partitions"]] == [[1, 2, 3], [1, 2, 3]]


def command(settings: KafkaSettings, data: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    topics = settings.topics
    given: Mapping[str, str] = {
        "OSCAR_EVENTS_KAFKA__BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "OSCAR_EVENTS_KAFKA__TOPIC_PREFIX": settings.topic_prefix,
        "OSCAR_EVENTS_KAFKA__TOPICS__DURABILITY": topics.durability,
        "OSCAR_EVENTS_KAFKA__TOPICS__PARTITIONS": str(topics.partitions),
        "OSCAR_EVENTS_LEDGER__URL": "postgresql://nobody@127.0.0.1/none",
        "OSCAR_EVENTS_DATA": str(data),
        **variables,
    }
    start = [sys.executable, "-c", "from oscar_events.cli.app import main; main()", "topics", *words]
    return subprocess.run(start, env={**os.environ, **given}, capture_output=True, text=True, check=False)


async def test_the_command_makes_them_and_checks_them(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    missing = command(kafka_settings, tmp_path, "check")
    assert (missing.returncode, missing.stderr) == (ExitCode.FAILED, "")
    assert "missing; fix: oscar-events topics create" in missing.stdout
    made = command(kafka_settings, tmp_path, "create", "--json")
    assert made.returncode == ExitCode.OK, made.stderr
    assert [(one["change"], one["is_safe"]) for one in json.loads(made.stdout)] == [("created", True)] * 4
    checked = command(kafka_settings, tmp_path, "check")
    assert (checked.returncode, checked.stdout.count("there: ")) == (ExitCode.OK, 4)
    grown = command(kafka_settings, tmp_path, "create", "--partitions", "5")
    assert (grown.returncode, "grown from 4: 5 partitions" in grown.stdout) == (ExitCode.OK, True)
    longer = command(kafka_settings, tmp_path, "create", OSCAR_EVENTS_KAFKA__TOPICS__RETENTION="9d")
    assert (longer.returncode, "fix: kafka-configs.sh" in longer.stdout) == (ExitCode.CONFLICT, True)
    smaller = command(kafka_settings, tmp_path, "create", "--partitions", "3")
    assert (smaller.returncode, "can only grow" in smaller.stderr) == (ExitCode.CONFLICT, True)


def test_the_command_tells_who_does_not_answer_in_one_line(tmp_path: Path) -> None:
    away = command(KafkaSettings(bootstrap_servers="127.0.0.1:1"), tmp_path, "check")
    assert away.returncode == ExitCode.UNAVAILABLE
    assert away.stderr.startswith("error: nobody listens on 127.0.0.1:1")
    assert len(away.stderr.splitlines()) == 1


def test_a_laptop_is_told_that_it_needs_no_topics(tmp_path: Path) -> None:
    start = [sys.executable, "-c", "from oscar_events.cli.app import main; main()", "topics", "check"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("OSCAR_EVENTS_")}
    told = subprocess.run(
        start, env={**alone, "OSCAR_EVENTS_DATA": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert told.returncode == ExitCode.USAGE
    assert "start a laptop's platform with `oscar-events up`" in told.stderr


async def test_the_group_alone_checks(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    alone, check = command(kafka_settings, tmp_path), command(kafka_settings, tmp_path, "check")
    assert (alone.returncode, alone.stdout) == (check.returncode, check.stdout)
    assert "missing; fix: oscar-events topics create" in alone.stdout


async def test_making_topics_makes_no_directory(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    assert command(kafka_settings, tmp_path / "none", "create").returncode == ExitCode.OK
    assert not (tmp_path / "none").exists()
