"""What an apply asks of the storage a service names: is it here, are its places there, what time is it by its clock.

In:  services. Out: a refusal or warnings; directories for their inputs and outputs.
Not here: reading and writing objects (oscar_supervisor/storage), noticing them (oscar_ingest/sources).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from oscar_events.datadir import LOCAL_PROVIDER
from oscar_events.errors import ConfigurationError, ServiceError
from oscar_events.matching import Aliases, canonical_provider
from oscar_events.service import Service, StorageIO


class Buckets(Protocol):
    """The storage of a platform, as applying services sees it. aliases: other names of its providers."""

    aliases: Aliases

    def check(self, service: Service) -> list[str]:
        """Return what to tell the service's author. Raises ServiceError for a provider that is not here."""

    def make(self, service: Service) -> None:
        """Make the places the service names; those that exist stay. Raises ConfigurationError."""

    def time(self) -> datetime:
        """Return the storage's own time."""


class LocalBuckets:
    """Directories as buckets below `root`; aliases say which other providers' names they answer to."""

    def __init__(self, root: Path, clock: Callable[[], datetime], aliases: Aliases) -> None:
        self.aliases, self.time = aliases, clock
        self._root = root

    def check(self, service: Service) -> list[str]:
        warnings = []
        for field, place in _places(service):
            if canonical_provider(place.storage_provider, self.aliases) != LOCAL_PROVIDER:
                raise ServiceError(
                    f"service {service.name}: {field}.storage_provider",
                    f"{place.storage_provider} is not available here",
                    f"available: {', '.join(sorted({LOCAL_PROVIDER, *self.aliases}))}",
                )
            if place.storage_provider != LOCAL_PROVIDER:
                warnings.append(f"{field}: {place.storage_provider} is the directory {self._directory(place)} here")
        return warnings

    def make(self, service: Service) -> None:
        for field, place in _places(service):
            directory = self._directory(place)
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                where = f"service {service.name}: {field}.path"
                raise ConfigurationError(f"{where}: cannot make {directory}: {error.strerror}; remedy that") from error

    def _directory(self, place: StorageIO) -> Path:
        return self._root / place.path


def _places(service: Service) -> Iterator[tuple[str, StorageIO]]:
    for field, places in (("input", service.input), ("output", service.output)):
        yield from ((f"{field}[{index}]", place) for index, place in enumerate(places))
