"""What the topics of the platform have to be like, and what is wrong with those that are there.

In:  `KafkaSettings`, topics as the broker describes them. Out: the topics to make; problems, each with what mends it.
Not here: asking the broker and changing it (kafka_topics.py).

Pure. The rules are those of reference/reliability.md §2.5: two of three copies acknowledge, no copy that lags behind
becomes the first, nothing goes before its time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oscar_events.bus.port import EVENTS, TOPICS
from oscar_events.settings import KafkaSettings

# A partition takes more than 10,000 records a second (services/NOTES.md of the testbed), and what the other topics hold
# is told at most once per run: one keeps their records in one order.
_PARTITIONS_OF_OTHERS = 1
_FOR_EVER = -1
_CHECK = "`oscar-events topics check`"
# The remedy for who has one broker: said where a topic is refused, and where it cannot be made.
TRIAL = "for a trial set kafka.topics.durability to `single` (one copy: what was acknowledged is lost with the disk)"


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """A topic as `topics create` makes it. name: with the platform's prefix. configs: Kafka's names and texts."""

    name: str
    partitions: int
    replication_factor: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic as the broker has it. replicas: per partition the brokers that hold it, in order of preference."""

    name: str
    replicas: tuple[tuple[int, ...], ...]
    configs: Mapping[str, str]

    @property
    def replication_factor(self) -> int:
        """Return how many brokers hold the partition that the fewest hold."""
        return min(map(len, self.replicas))


@dataclass(frozen=True, slots=True)
class Problem:
    """What is not as it should be. is_unsafe: events can be lost, so that no component starts; else it is advice."""

    setting: str
    found: str
    wanted: str
    fix: str
    is_unsafe: bool = True


def wanted_topics(settings: KafkaSettings) -> list[WantedTopic]:
    """Return the platform's four topics."""
    topics = settings.topics
    configs = {
        "cleanup.policy": "delete",
        "retention.ms": str(_milliseconds(settings)),
        "retention.bytes": str(_FOR_EVER),
        "min.insync.replicas": str(topics.min_insync_replicas),
        "max.message.bytes": str(topics.max_message_bytes),
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "CreateTime",
    }
    return [
        WantedTopic(
            settings.topic_prefix + topic,
            topics.partitions if topic == EVENTS else _PARTITIONS_OF_OTHERS,
            topics.replication_factor,
            configs,
        )
        for topic in TOPICS
    ]


def problems(found: FoundTopic, wanted: WantedTopic, settings: KafkaSettings, brokers: Sequence[int]) -> list[Problem]:
    """Return what is wrong with a topic, the worst first. brokers: the ids of those that are there."""
    judged = [
        _replication(found, wanted, settings, brokers),
        *(_config(name, found, wanted, settings) for name in wanted.configs),
        _room_for_an_outage(found, settings),
        _partitions(found, wanted),
    ]
    return sorted((one for one in judged if one is not None), key=lambda one: not one.is_unsafe)


def _replication(
    found: FoundTopic, wanted: WantedTopic, settings: KafkaSettings, brokers: Sequence[int]
) -> Problem | None:
    if found.replication_factor >= wanted.replication_factor:
        return None
    # New brokers take new topics only: those that are there stay where they are until somebody moves them.
    fix = (
        f"add brokers until there are {wanted.replication_factor}, then run {_CHECK} again: it prints the command that "
        f"copies the topic to them; or {TRIAL}"
    )
    if len(brokers) >= wanted.replication_factor:
        moves = {"version": 1, "partitions": _more_replicas(found, wanted.replication_factor, brokers)}
        fix = (
            f"kafka-reassign-partitions.sh --bootstrap-server {settings.bootstrap_servers} --execute "
            f"--reassignment-json-file <(echo '{json.dumps(moves, separators=(',', ':'))}')"
        )
    return Problem("replication factor", str(found.replication_factor), str(wanted.replication_factor), fix)


def _more_replicas(found: FoundTopic, count: int, brokers: Sequence[int]) -> list[dict[str, object]]:
    """Return each partition with the brokers it has and others in turn, so that none gets all."""
    moved: list[dict[str, object]] = []
    for number, has in enumerate(found.replicas):
        turn = number % len(brokers)
        others = [broker for broker in [*brokers[turn:], *brokers[:turn]] if broker not in has]
        moved.append({"topic": found.name, "partition": number, "replicas": [*has, *others][:count]})
    return moved


def _config(name: str, found: FoundTopic, wanted: WantedTopic, settings: KafkaSettings) -> Problem | None:
    is_, should = found.configs[name], wanted.configs[name]
    match name:
        case "retention.ms":
            is_right = int(is_) == _FOR_EVER or int(is_) >= int(should)
        case "min.insync.replicas" | "max.message.bytes":
            is_right = int(is_) >= int(should)
        case _:
            is_right = is_ == should
    if is_right:
        return None
    if name == "min.insync.replicas" and found.replication_factor < wanted.replication_factor:
        # Asked of more brokers than have a copy, or of all of them, no publish or none during an outage succeeds.
        fix = f"nothing yet: give the topic {wanted.replication_factor} copies first, then run {_CHECK} again"
    else:
        fix = _alter(name, should, found, settings)
    return Problem(name, is_, should, fix)


def _room_for_an_outage(found: FoundTopic, settings: KafkaSettings) -> Problem | None:
    """Return a problem if every broker is needed for a record to be acknowledged, or more than there are copies."""
    needed, copies = int(found.configs["min.insync.replicas"]), found.replication_factor
    should = settings.topics.min_insync_replicas
    if needed < copies or needed == copies == 1 or copies < settings.topics.replication_factor:
        return None
    what = (
        "more than its copies: nothing can be written" if needed > copies else "all of its copies: no broker may fail"
    )
    fix = _alter("min.insync.replicas", str(should), found, settings)
    return Problem("min.insync.replicas", f"{needed}, {what}", str(should), fix, is_unsafe=needed > copies)


def _partitions(found: FoundTopic, wanted: WantedTopic) -> Problem | None:
    count = len(found.replicas)
    if count >= wanted.partitions:
        return None
    fix = f"oscar-events topics create --partitions {wanted.partitions}"
    return Problem("partitions", str(count), str(wanted.partitions), fix, is_unsafe=False)


def _alter(name: str, value: str, found: FoundTopic, settings: KafkaSettings) -> str:
    return (
        f"kafka-configs.sh --bootstrap-server {settings.bootstrap_servers} --alter --entity-type topics "
        f"--entity-name {found.name} --add-config {name}={value}"
    )


def _milliseconds(settings: KafkaSettings) -> int:
    return int(settings.topics.retention.total_seconds() * 1000)
