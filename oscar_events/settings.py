"""What an operator sets: broker, database, the components, and how long things are kept.

In:  sections of config.yaml, variables `OSCAR_EVENTS_<SECTION>__<FIELD>`. Out: checked values, every default with its
reason; what contradicts itself between them.
Not here: reading them (config.py, variables.py), the sources and storage providers of config.yaml (config_file.py),
what a service sets for itself (service/).

No field's name ends in `_port` or `_service_host`: Kubernetes makes such variables for its Services (design §4). The
docstrings are the text of docs/settings.md: a purpose, then `field: what it is.` for each field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from oscar_events.mistakes import Mistake, Write, wrong
from oscar_events.service.amounts import Duration, PositiveDuration

# Kafka's own default of a record's size, and what the largest quarantine entry (256 KiB and its base64) fits in twice.
LEAST_MESSAGE_BYTES = 1024 * 1024
# Longer than any store repeats a notification, and a listing can be late (design §3.8).
TOMBSTONES_BEYOND_TOPIC = timedelta(days=7)

_LISTEN = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):(?P<number>[0-9]{1,5})")
_MOST_PORT = 65_535


def _checked_listen(listen: str) -> str:
    match = _LISTEN.fullmatch(listen)
    if match is None or int(match["number"]) > _MOST_PORT:
        raise wrong(f"the text {listen}", "host:port, like 0.0.0.0:8080 or [::]:8080", _meant_listen(listen))
    return listen


def _meant_listen(listen: str) -> Write | None:
    number = listen.removeprefix(":")
    return Write(f"0.0.0.0:{number}") if number.isdigit() and int(number) <= _MOST_PORT else None


Listen = Annotated[str, AfterValidator(_checked_listen)]


def listen_address(listen: str) -> tuple[str, int]:
    """Return host and port of a checked `listen`."""
    host, _, number = listen.rpartition(":")
    return host.strip("[]"), int(number)


class Section(BaseModel):
    """One section of config.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TopicSettings(Section):
    """How `oscar-events topics create` makes the topics, and what `topics check` asks of them.

    partitions: of the topic of events: so many dispatchers can take events in at a time.
    durability: `replicated` is three copies of which two acknowledge; `single` is one broker, for trials: what it
        acknowledged is lost with its disk.
    retention: how far a restored ledger and a replay can read back; an intake that is down for longer loses events.
    max_message_bytes: of one record; never below 1 MiB, which the largest quarantine entry needs.
    """

    partitions: Annotated[int, Field(ge=1, le=1000)] = 12
    durability: Literal["replicated", "single"] = "replicated"
    retention: PositiveDuration = timedelta(days=7)
    max_message_bytes: Annotated[int, Field(ge=LEAST_MESSAGE_BYTES)] = 2 * LEAST_MESSAGE_BYTES

    @property
    def replication_factor(self) -> int:
        """Return how many brokers hold each partition."""
        return 3 if self.durability == "replicated" else 1

    @property
    def min_insync_replicas(self) -> int:
        """Return how many of them have a record before it is acknowledged."""
        return 2 if self.durability == "replicated" else 1


class KafkaSettings(Section):
    """The broker, with the names Kafka's own clients use. Together with `ledger` it makes a cluster.

    bootstrap_servers: some of the brokers, `host:port`, separated by commas; they tell of the others.
    security_protocol: TLS or not, passwords or not.
    sasl_mechanism: how the password is proven; PLAIN only within TLS.
    sasl_username: who we are to the broker.
    sasl_password: with `SASL_...` protocols; better in a file.
    sasl_password_file: names the file that holds the password.
    ca_file: names the authorities the broker's certificate is checked with, PEM; without it the system's.
    certificate_file: names our own certificate, PEM, if the broker wants one.
    certificate_key_file: names the key of that certificate.
    compression: of what we publish; anything can be read.
    topic_prefix: before the name of each topic and group of ours, so that several platforms share a broker.
    topics: how the topics are to be.
    delivery_timeout: until a publish is given up, and a webhook's sender told to come again: below the 10 s a request
        has.
    session_timeout: until the broker gives a silent process's partitions to others.
    max_poll_interval: until a process that is alive and does not poll loses them.
    """

    bootstrap_servers: Annotated[str, Field(min_length=1, examples=["127.0.0.1:9092"])]
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    certificate_key_file: Path | None = None
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "lz4"
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    topics: TopicSettings = TopicSettings()
    delivery_timeout: PositiveDuration = timedelta(seconds=8)  # of the budget in reference/reliability.md §2.4
    session_timeout: PositiveDuration = timedelta(seconds=10)
    max_poll_interval: PositiveDuration = timedelta(minutes=5)


class LedgerSettings(Section):
    """The database, PostgreSQL 13 or newer. Together with `kafka` it makes a cluster.

    url: `postgresql://user:password@host:5432/name`, with `?sslmode=verify-full&sslrootcert=...` where TLS is wanted.
    url_file: names the file that holds the URL instead.
    connections: of one process at most.
    """

    url: SecretStr | None = None
    url_file: Path | None = None
    connections: Annotated[int, Field(ge=2, le=1000)] = 10


class RetentionSettings(Section):
    """How long the ledger remembers.

    runs: a run that ended is shown with all its details for so long; then only that it was there (a tombstone).
    tombstones: after its end, until the ledger forgets a run altogether: at least the topic's retention and 7 days, as
        whatever can still be told of its event must find it.
    dead: a dead letter that nobody sent again or purged keeps its details for so long.
    """

    runs: PositiveDuration = timedelta(days=30)
    tombstones: PositiveDuration = timedelta(days=60)
    dead: PositiveDuration = timedelta(days=90)


class ReconcileSettings(Section):
    """The listings that fill the gaps. On a laptop, whose folders are cheap to list, every 30 s.

    every: between two listings.
    min_age: an object younger than this is left to its notification.
    """

    every: PositiveDuration = timedelta(minutes=10)
    min_age: Duration = timedelta(minutes=2)


class IngestSection(Section):
    """The component `ingest`.

    listen: where sources are sent to, and health and metrics are asked: `host:port`; port 0 takes a free one.
    drain: how long it may take, when it is told to stop, to answer what is under way and to publish what it has read.
    """

    listen: Listen = "127.0.0.1:8080"
    drain: PositiveDuration = timedelta(seconds=10)


class DispatcherSection(Section):
    """The component `dispatcher`.

    listen: where health and metrics are asked: `host:port`; port 0 takes a free one.
    concurrency: runs at a time, over all services; without it the cores of this machine.
    role_ttl: after so long without a sign of life the scheduler's role passes to a standby.
    drain: how long running scripts may go on when it is told to stop.
    """

    listen: Listen = "127.0.0.1:8081"
    concurrency: Annotated[int, Field(ge=1)] | None = None
    role_ttl: PositiveDuration = timedelta(seconds=8)
    drain: PositiveDuration = timedelta(seconds=10)


class Settings(Section):
    """Everything an operator sets, but for sources and storage providers.

    kafka: the broker; without it, as on a laptop, a file.
    ledger: the database; without it, as on a laptop, a file.
    retention: how long the ledger remembers.
    reconcile: the listings that fill the gaps.
    ingest: the component `ingest`.
    dispatcher: the component `dispatcher`.
    """

    kafka: KafkaSettings | None = None
    ledger: LedgerSettings | None = None
    retention: RetentionSettings = RetentionSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    ingest: IngestSection = IngestSection()
    dispatcher: DispatcherSection = DispatcherSection()

    @property
    def is_cluster(self) -> bool:
        """Whether bus and ledger are a broker and a database, shared by several processes."""
        return self.kafka is not None and self.ledger is not None


def duration_text(duration: timedelta) -> str:
    """Return a duration as the settings take it: in the largest unit of which it is a whole number."""
    seconds = duration.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:g}s"


def contradictions(settings: Settings) -> Iterator[Mistake]:
    """Yield what is wrong between fields that are right by themselves."""
    kafka, ledger = settings.kafka, settings.ledger
    if ledger is None and kafka is not None:
        yield Mistake(("kafka",), "kafka, and no ledger", "both, for a cluster, or none of them, for a laptop")
    if kafka is None and ledger is not None:
        yield Mistake(("ledger",), "ledger, and no kafka", "both, for a cluster, or none of them, for a laptop")
    if ledger is not None and (ledger.url is None) == (ledger.url_file is None):
        found = "neither url nor url_file" if ledger.url is None else "url and url_file"
        yield Mistake(("ledger",), found, "one of the two: url_file names the file that holds it")
    if kafka is not None:
        yield from kafka_contradictions(kafka)
    yield from _retention_contradictions(settings)


def kafka_contradictions(kafka: KafkaSettings) -> Iterator[Mistake]:
    """Yield what is wrong between the fields of a broker's settings."""
    passwords = (kafka.sasl_password is not None) + (kafka.sasl_password_file is not None)
    if kafka.security_protocol.startswith("SASL_"):
        if kafka.sasl_username is None:
            yield Mistake(("kafka",), f"{kafka.security_protocol} and no sasl_username", "the name of a user")
        if passwords != 1:
            found = "two passwords" if passwords else f"{kafka.security_protocol} and no password"
            yield Mistake(("kafka",), found, "one of sasl_password_file and sasl_password")
    elif passwords or kafka.sasl_username is not None:
        place = ("kafka", "security_protocol")
        secure = "SASL_SSL" if kafka.security_protocol == "SSL" else "SASL_PLAINTEXT"
        expected = f"{secure}, or no sasl_username and password: {kafka.security_protocol} sends none"
        yield Mistake(place, kafka.security_protocol, expected, Write(secure))
    if (kafka.certificate_file is None) != (kafka.certificate_key_file is None):
        given = "certificate_file" if kafka.certificate_file else "certificate_key_file"
        yield Mistake(("kafka", given), f"{given} alone", "certificate_file and certificate_key_file together")


def _retention_contradictions(settings: Settings) -> Iterator[Mistake]:
    retention = settings.retention
    topic = (settings.kafka.topics if settings.kafka else TopicSettings()).retention
    least = topic + TOMBSTONES_BEYOND_TOPIC
    place = ("retention", "tombstones")
    if retention.tombstones < least:
        text = duration_text(least)
        expected = f"at least {text}: what the topic keeps ({duration_text(topic)}) and 7 days"
        yield Mistake(place, duration_text(retention.tombstones), expected, Write(text))
    elif retention.runs > retention.tombstones:
        text = duration_text(retention.runs)
        expected = f"at least {text}, for which retention.runs shows their details"
        yield Mistake(place, duration_text(retention.tombstones), expected, Write(text))
