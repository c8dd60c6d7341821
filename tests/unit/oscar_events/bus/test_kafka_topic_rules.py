"""Which topics are safe: each rule with what is refused, what is accepted, and the command that mends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from oscar_events.bus.kafka_topic_rules import FoundTopic, Problem, WantedTopic, problems, wanted_topics
from oscar_events.settings import KafkaSettings, TopicSettings

SETTINGS = KafkaSettings(bootstrap_servers="kafka:9092", topic_prefix="lab.", topics=TopicSettings(partitions=2))
TRIAL = SETTINGS.model_copy(update={"topics": TopicSettings(partitions=2, durability="single")})
DAY_MS = 86_400_000


def events(settings: KafkaSettings = SETTINGS) -> WantedTopic:
    return wanted_topics(settings)[0]


def made(settings: KafkaSettings = SETTINGS, changed: Mapping[str, str] | None = None) -> FoundTopic:
    """The topic of events as `topics create` makes it, but for these configs."""
    wanted = events(settings)
    brokers = tuple(range(1, wanted.replication_factor + 1))
    return FoundTopic(wanted.name, (brokers,) * wanted.partitions, {**wanted.configs, **(changed or {})})


def found(topic: FoundTopic, settings: KafkaSettings = SETTINGS, brokers: int = 3) -> list[Problem]:
    return problems(topic, events(settings), settings, range(1, brokers + 1))


def test_the_four_topics_bear_the_prefix_and_only_that_of_events_has_many_partitions() -> None:
    assert [(one.name, one.partitions) for one in wanted_topics(SETTINGS)] == [
        ("lab.oscar.events", 2),
        ("lab.oscar.executions", 1),
        ("lab.oscar.deadletter", 1),
        ("lab.oscar.quarantine", 1),
    ]


@pytest.mark.parametrize("settings", [SETTINGS, TRIAL])
def test_a_topic_as_it_is_made_is_safe(settings: KafkaSettings) -> None:
    assert found(made(settings), settings) == []


@pytest.mark.parametrize(
    ("config", "value", "wanted"),
    [
        ("cleanup.policy", "compact", "delete"),
        ("cleanup.policy", "compact,delete", "delete"),
        ("retention.ms", str(7 * DAY_MS - 1), str(7 * DAY_MS)),
        ("retention.bytes", "1073741824", "-1"),
        ("min.insync.replicas", "1", "2"),
        ("max.message.bytes", str(2 * 1024 * 1024 - 1), str(2 * 1024 * 1024)),
        ("unclean.leader.election.enable", "true", "false"),
        ("message.timestamp.type", "LogAppendTime", "CreateTime"),
    ],
)
def test_a_setting_that_loses_events_is_refused_with_the_command_that_mends_it(
    config: str, value: str, wanted: str
) -> None:
    [problem] = found(made(changed={config: value}))
    assert (problem.setting, problem.found, problem.wanted, problem.is_unsafe) == (config, value, wanted, True)
    assert problem.fix == (
        "kafka-configs.sh --bootstrap-server kafka:9092 --alter --entity-type topics --entity-name lab.oscar.events "
        f"--add-config {config}={wanted}"
    )


@pytest.mark.parametrize(
    ("config", "value"),
    [("retention.ms", "-1"), ("retention.ms", str(8 * DAY_MS)), ("max.message.bytes", str(8 * 1024 * 1024))],
)
def test_more_than_is_asked_for_is_safe(config: str, value: str) -> None:
    assert found(made(changed={config: value})) == []


def test_too_few_copies_are_refused_with_the_very_moves_that_make_more() -> None:
    topic = replace(made(), replicas=((2,), (3, 1, 2)))
    [problem] = found(topic)
    assert (problem.setting, problem.found, problem.wanted) == ("replication factor", "1", "3")
    assert problem.fix.startswith("kafka-reassign-partitions.sh --bootstrap-server kafka:9092 --execute")
    assert '{"topic":"lab.oscar.events","partition":0,"replicas":[2,1,3]}' in problem.fix
    assert '{"topic":"lab.oscar.events","partition":1,"replicas":[3,1,2]}' in problem.fix


@pytest.mark.parametrize("replicas", [((1,), (1,)), ((1, 2), (2, 1))])
def test_more_copies_are_not_asked_to_acknowledge_before_there_are_more(replicas: tuple[tuple[int, ...], ...]) -> None:
    """On a topic with one copy min.insync.replicas=2 lets no publish succeed; on one with two, no broker may fail."""
    topic = replace(made(changed={"min.insync.replicas": "1"}), replicas=replicas)
    copies, acknowledging = found(topic)
    assert (copies.setting, acknowledging.setting) == ("replication factor", "min.insync.replicas")
    assert "kafka-configs.sh" not in acknowledging.fix
    assert "give the topic 3 copies first, then run `oscar-events topics check` again" in acknowledging.fix


def test_where_there_are_too_few_brokers_both_remedies_are_named() -> None:
    [problem] = found(replace(made(), replicas=((1,), (1,))), brokers=1)
    assert "add brokers until there are 3, then run `oscar-events topics check` again: it prints" in problem.fix
    assert "kafka.topics.durability to `single`" in problem.fix


@pytest.mark.parametrize(("needed", "is_unsafe"), [("3", False), ("4", True)])
def test_a_topic_that_no_broker_may_fail_for_is_advised_against_and_one_that_takes_nothing_refused(
    needed: str, is_unsafe: bool
) -> None:
    [problem] = found(made(changed={"min.insync.replicas": needed}))
    assert (problem.setting, problem.wanted, problem.is_unsafe) == ("min.insync.replicas", "2", is_unsafe)


def test_fewer_partitions_are_advised_against_and_more_are_fine() -> None:
    three = replace(made(), replicas=((1, 2, 3),) * 3)
    assert found(three) == []
    [problem] = found(replace(three, replicas=((1, 2, 3),)))
    assert (problem.is_unsafe, problem.fix) == (False, "oscar-events topics create --partitions 2")


def test_what_is_unsafe_is_told_before_advice() -> None:
    topic = replace(made(changed={"cleanup.policy": "compact"}), replicas=((1, 2, 3),))
    assert [problem.is_unsafe for problem in found(topic)] == [True, False]


def test_a_longer_retention_than_the_settings_ask_for_is_theirs_to_ask_for() -> None:
    longer = SETTINGS.model_copy(update={"topics": TopicSettings(partitions=2, retention=timedelta(days=8))})
    [problem] = problems(made(), events(longer), longer, [1, 2, 3])
    assert (problem.setting, problem.wanted) == ("retention.ms", str(8 * DAY_MS))
