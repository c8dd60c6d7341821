"""The control of a cluster: broker and database, shared by whatever components run, and no files but secrets.

In:  the configuration in force. Out: broker and database to be opened, a `Control` on them.
Not here: starting components (oscar_events/cluster/), a laptop's platform (laptop.py).

Clients of broker and database are imported by whoever opens them: a laptop has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from oscar_events.bus.port import Bus
from oscar_events.config import PlatformConfig, load_config
from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError, NotYetError, ServiceError
from oscar_events.ledger.port import Ledger
from oscar_events.manager.backfill import Listings
from oscar_events.manager.bucket_look import look_at_buckets
from oscar_events.manager.buckets import STORAGE_TYPES, places, unlisted
from oscar_events.manager.control import Control
from oscar_events.manager.laptop import WITHOUT_IMAGE
from oscar_events.manager.local_objects import NoLocalObjects
from oscar_events.manager.storage_clock import storage_time
from oscar_events.matching import Aliases
from oscar_events.secrets import SecretStore, referred
from oscar_events.service import Service, StorageIO
from oscar_events.settings import KafkaSettings, LedgerSettings

_CLIENTS = frozenset({"aiokafka", "asyncpg", "faststream", "greenlet", "miniopy_async"})
# Stores with a clock that can be asked; of other types nothing is listed, so no time counts.
_WITH_CLOCK = frozenset({"minio", "s3"})


@contextmanager
def clients_installed() -> Iterator[None]:
    """Tell of a client that is not installed by the command that installs it. Raises ConfigurationError."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _CLIENTS:
            raise
        raise ConfigurationError(
            f"{error.name} is not installed, which a cluster needs; run: pip install "
            '"oscar-events[kafka,postgres,minio]"'
        ) from error


def required(config: PlatformConfig) -> tuple[KafkaSettings, LedgerSettings]:
    """Return the settings of broker and database. Raises ConfigurationError if this is a laptop's configuration."""
    kafka, ledger = config.settings.kafka, config.settings.ledger
    if kafka is None or ledger is None:
        raise ConfigurationError(
            f"{config.files[0]} and the variables name no broker and no database, which this needs: set "
            "kafka.bootstrap_servers and ledger.url, or start a laptop's platform with `oscar-events up`"
        )
    return kafka, ledger


def cluster_bus(kafka: KafkaSettings) -> Bus:
    """Return the broker, to be entered. Raises ConfigurationError if its client is not installed."""
    with clients_installed():
        from oscar_events.bus.kafka import KafkaBus

    return KafkaBus(kafka)


def cluster_ledger(settings: LedgerSettings) -> Ledger:
    """Return the database, to be entered. Raises ConfigurationError if its client is not installed."""
    with clients_installed():
        from oscar_events.ledger.postgresql import PostgresLedger

    return PostgresLedger(settings)


async def require_safe_topics(kafka: KafkaSettings) -> None:
    """Return if the topics are there and safe. Raises ConfigurationError with the remedy, BusError."""
    with clients_installed():
        from oscar_events.bus import kafka_topics

    await kafka_topics.require_safe_topics(kafka)


def cluster_control(
    ledger: Ledger, bus: Bus, directory: DataDirectory, config: PlatformConfig, listings: Listings = tuple
) -> Control:
    """Return the control of the platform on this broker and database. listings: of the stores there are."""
    return Control(
        ledger,
        bus,
        ClusterBuckets(config),
        SecretStore(directory.secrets),
        lambda: load_config(directory),
        NoLocalObjects(),
        WITHOUT_IMAGE,
        log_of_running=_at_its_dispatcher,
        is_running=True,
        listings=listings,
    )


async def _at_its_dispatcher(execution: str, attempt: int) -> bytes | None:
    """Say why there is no log yet: a dispatcher's files are its host's. Raises NotYetError."""
    raise NotYetError(
        f"attempt {attempt} of run {execution} has not ended, and on a cluster what it printed is kept at its end; ask "
        "again then, or wait for it with --follow"
    )


class ClusterBuckets:
    """Stores that every component reaches; directories of one machine are none of them."""

    def __init__(self, config: PlatformConfig) -> None:
        self.aliases: Aliases = {}
        self._config = config

    def check(self, service: Service) -> list[str]:
        return [said for field, place in places(service) if (said := self._check(service, field, place))]

    def make(self, service: Service) -> None:
        """Make nothing: a remote bucket is its owner's to make."""

    async def look(self, services: Sequence[Service]) -> list[list[str]]:
        return await look_at_buckets(services, self._config)

    async def time(self, services: Sequence[Service]) -> datetime:
        """Return the time of the slowest clock among the stores of the inputs: nothing after it is missed."""
        asked: dict[str, Mapping[str, str]] = {}
        for service in services:
            for place in service.input:
                settings = self._settings(service, place.storage_provider)
                if settings is not None and settings.get("type") in _WITH_CLOCK:
                    asked[f"{place.storage_provider} {settings.get('endpoint')}"] = settings
        told = [storage_time(name.partition(" ")[0], settings) for name, settings in asked.items()]
        return min(await asyncio.gather(*told), default=datetime.now(UTC).replace(microsecond=0))

    def _check(self, service: Service, field: str, place: StorageIO) -> str:
        provider = place.storage_provider
        kind, _, identity = provider.partition(".")
        where = f"service {service.name}: {field}.storage_provider"
        known = self._config.providers()
        if kind == "local":
            fix = f"name a store that all machines reach: {', '.join(known) or 'define one in config.yaml'}"
            raise ServiceError(where, f"{provider}, a directory of one machine, on a cluster", fix)
        if provider not in known and identity not in service.storage_providers.get(kind, {}):
            fix = (
                f"define it under `storage_providers: {{{kind}: {{{identity}: ...}}}}` in the service file or in the "
                f"platform's config.yaml, or name one that is: {', '.join(known) or 'there is none yet'}"
            )
            raise ServiceError(where, f"{provider} is not defined", fix)
        if kind not in STORAGE_TYPES:
            return f"{field}: {provider} is kept; runs cannot use storage of the type {kind} yet and will fail"
        return unlisted(service, field, provider) if provider not in known else ""

    def _settings(self, service: Service, provider: str) -> dict[str, str] | None:
        """Return what is known of a provider; the platform's own definition wins, as it does for jobs."""
        kind, _, identity = provider.partition(".")
        found = self._config.provider(provider)
        if found is None and (own := service.storage_providers.get(kind, {}).get(identity)) is not None:
            open_ones = {name: value for name, value in own.items() if value is not None and referred(value) is None}
            return {"type": kind, **{name: _text(value) for name, value in open_ones.items()}}
        return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
