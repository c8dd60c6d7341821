"""What an apply asks of the storage a service names: is it known here, are its places there, what time is it there.

In:  services. Out: a refusal or warnings; directories for their inputs and outputs.
Not here: reading and writing objects (oscar_supervisor/storage), noticing them (oscar_ingest/sources), whether a remote
store answers (the doctor).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from oscar_events.datadir import LOCAL_PROVIDER
from oscar_events.errors import ConfigurationError, ServiceError
from oscar_events.matching import Aliases, canonical_provider
from oscar_events.service import Service, StorageIO

# What runs can read from and write to; of the other types of OSCAR the definition is kept.
STORAGE_TYPES = frozenset({"local", "minio", "s3"})


class Buckets(Protocol):
    """The storage of a platform, as applying services sees it. aliases: other names of its providers."""

    aliases: Aliases

    def check(self, service: Service) -> list[str]:
        """Return what to tell the service's author. Raises ServiceError for a provider that nobody defines."""

    def make(self, service: Service) -> None:
        """Make the places the service names; those that exist stay. Raises ConfigurationError."""

    async def look(self, services: Sequence[Service]) -> list[list[str]]:
        """Return for each service what its author should know of its buckets as they are now. Raises nothing."""

    async def time(self, services: Sequence[Service]) -> datetime:
        """Return the time by the clock of the services' storage. Raises UnavailableError if it cannot be asked."""


class LaptopBuckets:
    """Directories as buckets below `root`, beside whatever stores the platform or a service defines.

    aliases: which other providers' names the directories answer to. providers: those that config.yaml defines.
    """

    def __init__(
        self, root: Path, clock: Callable[[], datetime], aliases: Aliases, providers: Collection[str] = ()
    ) -> None:
        self.aliases, self._clock = aliases, clock
        self._root, self._providers = root, frozenset(providers)

    def check(self, service: Service) -> list[str]:
        return [said for field, place in places(service) if (said := self._check(service, field, place))]

    def make(self, service: Service) -> None:
        for field, place in places(service):
            if not self._is_local(place):
                continue  # a remote bucket is its owner's to make
            directory = self._directory(place)
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                where = f"service {service.name}: {field}.path"
                raise ConfigurationError(f"{where}: cannot make {directory}: {error.strerror}; remedy that") from error

    async def look(self, services: Sequence[Service]) -> list[list[str]]:
        """Say nothing: the directories are made, and the doctor is at hand for the rest."""
        return [[] for _ in services]

    async def time(self, services: Sequence[Service]) -> datetime:
        return self._clock()

    def _check(self, service: Service, field: str, place: StorageIO) -> str:
        """Return what to tell of a place, empty if nothing."""
        provider = place.storage_provider
        if self._is_local(place):
            here = provider == LOCAL_PROVIDER
            return "" if here else f"{field}: {provider} is the directory {self._directory(place)} here"
        kind, _, identity = provider.partition(".")
        if provider not in self._providers and identity not in service.storage_providers.get(kind, {}):
            known = ", ".join(sorted({LOCAL_PROVIDER, *self.aliases, *self._providers}))
            raise ServiceError(
                f"service {service.name}: {field}.storage_provider",
                f"{provider} is not defined",
                f"define it under `storage_providers: {{{kind}: {{{identity}: ...}}}}` in the service file or in the "
                f"platform's config.yaml, or name one that is: {known}",
            )
        if kind not in STORAGE_TYPES:
            return f"{field}: {provider} is kept; runs cannot use storage of the type {kind} yet and will fail"
        return unlisted(service, field, provider) if provider not in self._providers else ""

    def _is_local(self, place: StorageIO) -> bool:
        return canonical_provider(place.storage_provider, self.aliases) == LOCAL_PROVIDER

    def _directory(self, place: StorageIO) -> Path:
        return self._root / place.path


def unlisted(service: Service, field: str, provider: str) -> str:
    """Return what to tell of a place whose provider the service alone defines; empty if nothing.

    It is not listed: two services may mean two stores by one name, and ingest has no service's secrets.
    """
    if not field.startswith("input") or not service.dispatch.reconcile:
        return ""
    return (
        f"{field}: {provider} is defined in the service file alone and is not listed: an object that no notification "
        "tells of is not found; to have it listed, define it under `storage_providers` in the platform's config.yaml"
    )


def places(service: Service) -> Iterator[tuple[str, StorageIO]]:
    """Yield each input and output of a service with its name in the file."""
    for field, listed in (("input", service.input), ("output", service.output)):
        yield from ((f"{field}[{index}]", place) for index, place in enumerate(listed))
