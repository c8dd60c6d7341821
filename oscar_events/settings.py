"""What an operator sets: broker, database, the components, and how long things are kept.

In:  sections of config.yaml, variables `OSCAR_EVENTS_<SECTION>__<FIELD>`. Out: checked values, every default with its
reason.
Not here: reading them (config.py), the sources and storage providers of config.yaml (config.py), what a service sets
for itself (service/).

No field's name ends in `_port` or `_service_host`: Kubernetes makes such variables for its Services (design §4).
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from oscar_events.service.amounts import PositiveDuration

# Kafka's own default of a record's size, and what the largest quarantine entry (256 KiB and its base64) fits in twice.
LEAST_MESSAGE_BYTES = 1024 * 1024


class Section(BaseModel):
    """One section of config.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TopicSettings(Section):
    """How `oscar-events topics create` makes the topics, and what `topics check` asks of them.

    partitions: of the topic of events: so many dispatchers can take events in at a time.
    durability: `replicated` is three copies of which two acknowledge; `single` is one broker, for trials: what it
        acknowledged is lost with its disk.
    retention: how far a restored ledger and a replay can read back; an intake that is down for longer loses events.
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
    """The broker: as Kafka's own clients name things.

    topic_prefix: before the name of each topic and group of ours, so that several platforms share a broker.
    delivery_timeout: until a publish is given up, and a webhook's sender told to come again: below the 10 s a request
        has (reference/reliability.md §2.4).
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
    delivery_timeout: PositiveDuration = timedelta(seconds=8)
    session_timeout: PositiveDuration = timedelta(seconds=10)
    max_poll_interval: PositiveDuration = timedelta(minutes=5)


class LedgerSettings(Section):
    """The database. url: `postgresql://user:password@host:5432/name`, with `?sslmode=verify-full&sslrootcert=...`.

    url_file: names the file that holds it instead. connections: of this process at most.
    """

    url: SecretStr | None = None
    url_file: Path | None = None
    connections: Annotated[int, Field(ge=2, le=1000)] = 10


class RetentionSettings(Section):
    """How long the ledger remembers.

    runs: a run that ended is shown with all its details for so long; then only that it was there (a tombstone).
    tombstones: after its end, until the ledger forgets a run altogether: more than the topic's retention and 7 days, as
        whatever can still be told of its event must find it.
    dead: a dead letter that nobody sent again or purged keeps its details for so long.
    """

    runs: PositiveDuration = timedelta(days=30)
    tombstones: PositiveDuration = timedelta(days=60)
    dead: PositiveDuration = timedelta(days=90)


class ReconcileSettings(Section):
    """The listings that fill the gaps (design §3.9).

    every: between two listings. min_age: an object younger than this is left to its notification.
    """

    every: PositiveDuration = timedelta(minutes=10)
    min_age: Annotated[timedelta, Field(ge=timedelta(0))] = timedelta(minutes=2)


class IngestSection(Section):
    """The component `ingest`. listen: where sources are sent to, and health and metrics are asked: `host:port`."""

    listen: str = "127.0.0.1:8080"
    drain: PositiveDuration = timedelta(seconds=10)


class DispatcherSection(Section):
    """The component `dispatcher`. listen: where health and metrics are asked.

    concurrency: runs at a time, over all services; None = the cores of this machine.
    role_ttl: after so long without a sign of life the scheduler's role passes to a standby.
    drain: how long running scripts may go on when it is told to stop.
    """

    listen: str = "127.0.0.1:8081"
    concurrency: Annotated[int, Field(ge=1)] | None = None
    role_ttl: PositiveDuration = timedelta(seconds=8)
    drain: PositiveDuration = timedelta(seconds=10)


class Settings(Section):
    """Everything. kafka, ledger: None on a laptop, whose files are its bus and its ledger."""

    kafka: KafkaSettings | None = None
    ledger: LedgerSettings | None = None
    retention: RetentionSettings = RetentionSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    ingest: IngestSection = IngestSection()
    dispatcher: DispatcherSection = DispatcherSection()
