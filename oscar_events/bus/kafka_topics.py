"""Makes the platform's topics on the broker, and looks whether those that are there are safe.

In:  `KafkaSettings`. Out: topics made or grown; for each one how it is and what is wrong; a refusal of unsafe ones.
Not here: what is safe (kafka_topic_rules.py), publishing and consuming (kafka.py).

Nothing that is there is changed but on request, and then only grown: settings of a topic are somebody's decision, and
aiokafka can only replace all of them at once (AlterConfigs, not its incremental successor).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiokafka import errors as kafka
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from oscar_events.bus.kafka_connection import connection_options
from oscar_events.bus.kafka_diagnosis import cause
from oscar_events.bus.kafka_topic_rules import TRIAL, FoundTopic, Problem, WantedTopic, problems, wanted_topics
from oscar_events.bus.port import EVENTS
from oscar_events.errors import BusError, ConfigurationError, ConflictError, OscarEventsError
from oscar_events.settings import KafkaSettings

# A controller makes four topics in well under a second; one that is being elected is back in ten.
_PATIENCE_S = 15.0
# Of one broker, to be connected to.
_CONNECT_MS = 3000
_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class TopicReport:
    """How a topic is. change: what was just done to it: `created`, `grown from 4`, empty for nothing.

    found: None if there is no such topic.
    """

    wanted: WantedTopic
    found: FoundTopic | None
    problems: tuple[Problem, ...] = ()
    change: str = ""

    @property
    def is_safe(self) -> bool:
        """Return whether a component may use it."""
        return self.found is not None and not any(problem.is_unsafe for problem in self.problems)


async def check_topics(settings: KafkaSettings) -> list[TopicReport]:
    """Return how each topic of the platform is. Raises BusError, ConfigurationError (who we are, what we may)."""
    async with _admin(settings) as admin:
        return await _reports(admin, settings, {})


async def create_topics(settings: KafkaSettings, partitions: int | None = None) -> list[TopicReport]:
    """Make the topics that are missing, with `partitions` of the topic of events; grow it if it is there with fewer.

    Returns once every partition has a leader. Raises ConflictError if it has more already, ConfigurationError if the
    cluster has too few brokers or we may not, BusError.
    """
    async with _admin(settings) as admin:
        present = {report.wanted.name: report.found for report in await _reports(admin, settings, {})}
        events = settings.topic_prefix + EVENTS
        changes: dict[str, str] = {}
        grown = present[events]
        if partitions is not None and grown is not None and len(grown.replicas) > partitions:
            raise ConflictError(
                f"{events} has {len(grown.replicas)} partitions, and partitions can only grow; "
                f"ask for more than that, or leave them"
            )
        missing = [
            WantedTopic(one.name, partitions or one.partitions, one.replication_factor, one.configs)
            if one.name == events
            else one
            for one in wanted_topics(settings)
            if present[one.name] is None
        ]
        await _create(admin, missing)
        changes |= dict.fromkeys([one.name for one in missing], "created")
        if partitions is not None and grown is not None and len(grown.replicas) < partitions:
            await _grow(admin, events, partitions)
            changes[events] = f"grown from {len(grown.replicas)}"
        expected = {one.name: one.partitions for one in missing}
        if partitions is not None:
            expected[events] = partitions
        await _until_there(admin, expected)
        return await _reports(admin, settings, changes)


async def require_safe_topics(settings: KafkaSettings) -> None:
    """Return if every topic is there and safe; for the start of a component.

    Raises ConfigurationError that names what is wrong and the command that mends it or tells how, BusError if the
    broker is away.
    """
    reports = await check_topics(settings)
    missing = [report.wanted.name for report in reports if report.found is None]
    unsafe = {
        report.wanted.name: [f"{one.setting} is {one.found}" for one in report.problems if one.is_unsafe]
        for report in reports
    }
    wrong = [f"missing are {', '.join(missing)}; run `oscar-events topics create`"] if missing else []
    # Eight remedies in a line are read by nobody, and their order matters.
    named = ", ".join(f"{name} ({', '.join(why)})" for name, why in unsafe.items() if why)
    wrong += [f"not safe are {named}; `oscar-events topics check` tells what mends each"] if named else []
    if wrong:
        raise ConfigurationError(f"the topics on {settings.bootstrap_servers}: {'; '.join(wrong)}")


async def topic_retention(settings: KafkaSettings, topic: str) -> timedelta | None:
    """Return how long the broker keeps the records of one of our topics, None if for ever. Raises as check_topics."""
    async with _admin(settings) as admin:
        name = f"{settings.topic_prefix}{topic}"
        resource = ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": ""})
        for answer in await admin.describe_configs([resource]):
            for code, message, _, _, entries in answer.resources:
                _raise_for(code, f"{name}: {message}")
                milliseconds = int(entries[0][1])
                return None if milliseconds < 0 else timedelta(milliseconds=milliseconds)
    return None


@asynccontextmanager
async def _admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    begun = time.monotonic()
    client = AIOKafkaAdminClient(
        client_id="oscar-events", request_timeout_ms=_CONNECT_MS, **connection_options(settings)
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await client.start()
        # aiokafka has one time for both: a broker that hangs is left for the next, but topics may take long to make.
        client._request_timeout_ms = client._client._request_timeout_ms = int(_PATIENCE_S * 1000)
        yield client
    except OscarEventsError:
        raise
    except (kafka.KafkaConnectionError, kafka.NodeNotReadyError, TimeoutError, OSError) as error:
        raise await cause(settings, time.monotonic() - begun) from error
    except _NOT_ALLOWED as error:
        raise _not_allowed(settings, str(error)) from error
    except kafka.KafkaError as error:
        raise BusError(f"the broker at {settings.bootstrap_servers} answers {type(error).__name__}: {error}") from error
    finally:
        await client.close()


_NOT_ALLOWED = (kafka.TopicAuthorizationFailedError, kafka.ClusterAuthorizationFailedError)


def _not_allowed(settings: KafkaSettings, what: str) -> ConfigurationError:
    user = settings.sasl_username or "ANONYMOUS"
    return ConfigurationError(
        f"the broker does not let the user {user} do that ({what}); an administrator allows it: kafka-acls.sh "
        f"--bootstrap-server {settings.bootstrap_servers} --add --allow-principal User:{user} --operation Create "
        "--operation Alter --operation Describe --operation DescribeConfigs --resource-pattern-type prefixed "
        f"--topic {settings.topic_prefix}oscar."
    )


async def _reports(
    admin: AIOKafkaAdminClient, settings: KafkaSettings, changes: Mapping[str, str]
) -> list[TopicReport]:
    wanted = wanted_topics(settings)
    brokers = sorted(one["node_id"] for one in (await admin.describe_cluster())["brokers"])
    found = await _found(admin, wanted)
    reports = []
    for one in wanted:
        there = found.get(one.name)
        wrong = () if there is None else tuple(problems(there, one, settings, brokers))
        reports.append(TopicReport(one, there, wrong, changes.get(one.name, "")))
    return reports


async def _found(admin: AIOKafkaAdminClient, wanted: Sequence[WantedTopic]) -> dict[str, FoundTopic]:
    """Return the topics that are there. Raises KafkaError for what we may not know."""
    replicas: dict[str, tuple[tuple[int, ...], ...]] = {}
    for topic in await admin.describe_topics([one.name for one in wanted]):
        _raise_for(topic["error_code"], topic["topic"], absent=kafka.UnknownTopicOrPartitionError.errno)
        if topic["partitions"]:
            in_order = sorted(topic["partitions"], key=lambda partition: partition["partition"])
            replicas[topic["topic"]] = tuple(tuple(partition["replicas"]) for partition in in_order)
    if not replicas:
        return {}
    asked = {one.name: one.configs for one in wanted}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, asked[name]) for name in replicas]
    configs: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs(resources):
        for code, message, _, name, entries in answer.resources:
            _raise_for(code, f"{name}: {message}")
            configs[name] = {entry[0]: entry[1] for entry in entries}
    return {name: FoundTopic(name, partitions, configs[name]) for name, partitions in replicas.items()}


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[WantedTopic]) -> None:
    if not topics:
        return
    answer = await admin.create_topics(
        [NewTopic(one.name, one.partitions, one.replication_factor, topic_configs=one.configs) for one in topics]
    )
    for name, code, message in answer.topic_errors:
        if code == kafka.InvalidReplicationFactorError.errno:
            brokers = len((await admin.describe_cluster())["brokers"])
            copies = max(one.replication_factor for one in topics)
            raise ConfigurationError(
                f"{name} wants {copies} copies, each on a broker of its own, and the cluster has {brokers} "
                f"broker{'s' if brokers != 1 else ''}; add brokers, or {TRIAL}"
            )
        if code in (kafka.PolicyViolationError.errno, kafka.InvalidConfigurationError.errno):
            raise ConfigurationError(f"the broker refuses to make {name}: {message}")
        # Somebody else may make them at the same moment: then they are checked like any others.
        _raise_for(code, f"making {name}: {message}", absent=kafka.TopicAlreadyExistsError.errno)


async def _grow(admin: AIOKafkaAdminClient, topic: str, partitions: int) -> None:
    try:
        await admin.create_partitions({topic: NewPartitions(partitions)})
    except kafka.InvalidPartitionsError as error:
        raise ConflictError(str(error)) from error


async def _until_there(admin: AIOKafkaAdminClient, expected: Mapping[str, int]) -> None:
    """Wait until every broker we ask knows each topic with so many partitions, and a leader for each."""
    if not expected:
        return
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            topics: list[dict[str, Any]] = await admin.describe_topics(list(expected))
            led = {one["topic"]: sum(partition["leader"] >= 0 for partition in one["partitions"]) for one in topics}
            if all(led.get(name, 0) >= count for name, count in expected.items()):
                return
            await asyncio.sleep(_LOOK_AGAIN_S)


def _raise_for(code: int, what: str, absent: int = 0) -> None:
    """Raise what a code of the broker means. absent: the code that is no error here."""
    if code not in (0, absent):
        raise kafka.for_code(code)(what)
