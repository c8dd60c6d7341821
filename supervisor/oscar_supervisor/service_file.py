"""A service file of ours (OSCAR's FDL with `dispatch:`), as one run sees it.

In:  a path, and the service's name if the file holds several. Out: `ServiceFacts`.
Not here: reading and judging the file (oscar_events/fdl.py, the only user of the service models in this package).

The only module here that imports those models, and imported only for `--service`: they need pydantic.
"""

from __future__ import annotations

from pathlib import Path

from oscar_events.errors import ConfigurationError
from oscar_events.fdl import load_service_file
from oscar_events.job import Output
from oscar_events.service import Service, StorageIO
from oscar_supervisor.service_facts import Place, ServiceFacts


def read_service_file(path: Path) -> tuple[ServiceFacts, tuple[str, ...]]:
    """Return the one service of a file, and its warnings. Raises ConfigurationError."""
    loaded = load_service_file(path)
    if len(loaded) != 1:
        names = ", ".join(entry.service.name for entry in loaded)
        raise ConfigurationError(
            f"{path} holds {len(loaded)} services ({names}); a run is of one: give it a file of its own"
        )
    return _facts(loaded[0].service), tuple(str(warning) for warning in loaded[0].warnings)


def _facts(service: Service) -> ServiceFacts:
    return ServiceFacts(
        name=service.name,
        script=service.script,
        inputs=tuple(Place(place.storage_provider, place.bucket) for place in service.input),
        outputs=tuple(_output(place) for place in service.output),
        storage={
            f"{kind}.{identity}": settings
            for kind, identities in service.storage_providers.items()
            for identity, settings in identities.items()
        },
        variables={**service.environment.variables, **_secrets(service)},
        stage_in=not service.file_stage_in,
        timeout_s=service.dispatch.timeout.total_seconds(),
        log_level=service.log_level,
    )


def _secrets(service: Service) -> dict[str, str]:
    """Return the secrets that have a value: OSCAR writes empty ones, and has the values in the environment already."""
    found = {}
    for name, value in service.environment.secrets.items():
        if not isinstance(value, str):
            raise ConfigurationError(
                f"the secret {name} is a reference into a platform; a run by itself needs its value"
            )
        if value:
            found[name] = value
    return found


def _output(place: StorageIO) -> Output:
    return Output(
        provider=place.storage_provider,
        bucket=place.bucket,
        folder=place.folder,
        prefix=place.prefix,
        suffix=place.suffix,
    )
