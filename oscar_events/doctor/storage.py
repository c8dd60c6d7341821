"""Checks of what the services need: their storage, there and answering; somebody who tells of it; a backend.

In:  the active services, config.yaml, the buckets. Out: findings.
Not here: whether a service is well-formed (it was applied), what it asks for in vain (`services show`).
"""

from __future__ import annotations

import asyncio
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from oscar_events.config import PlatformConfig
from oscar_events.datadir import LOCAL_PROVIDER
from oscar_events.doctor.finding import Finding, error, ok, warning
from oscar_events.errors import OscarEventsError
from oscar_events.event import DEFAULT_TENANT
from oscar_events.ledger.services import StoredService
from oscar_events.manager.undefined_providers import Undefined, undefined_providers
from oscar_events.matching import Aliases, canonical_provider
from oscar_events.secrets import SecretMissingError, SecretStore, referred
from oscar_events.service import Service

# A store on the same network answers a listing in milliseconds; people wait for the doctor.
ANSWER_SECONDS = 5.0
_BACKENDS = frozenset({"process"})


def folders(services: Sequence[StoredService], root: Path, aliases: Aliases) -> Iterator[Finding]:
    """Check that the directories of local inputs and outputs are there."""
    missing = False
    for stored in services:
        for place in (*stored.service.input, *stored.service.output):
            if canonical_provider(place.storage_provider, aliases) == LOCAL_PROVIDER:
                path = root / place.path
                if not path.is_dir():
                    missing = True
                    yield _missing(stored.service.name, path)
    if services and not missing:
        yield ok("buckets", "the directories of all services are there")


def _missing(service: str, path: Path) -> Finding:
    named = shlex.quote(str(path))
    in_its_place = next((one for one in (path, *path.parents) if one.exists() and not one.is_dir()), None)
    if in_its_place is not None:
        what = f"service {service}: {in_its_place} is a file, and not a directory"
        return error("buckets", what, f"move it away, then: mkdir -p {named}")
    return error("buckets", f"service {service}: {path} is not there", f"mkdir -p {named}")


def backends(services: Sequence[StoredService]) -> Iterator[Finding]:
    """Check that each service's runs can be run by a backend that is here."""
    for stored in services:
        backend = stored.service.dispatch.backend
        if backend not in _BACKENDS:
            what = f"service {stored.service.name} asks for the backend {backend}; its runs are processes here"
            yield warning("backend", what, "set `dispatch: {backend: process}`, or run it on a platform that has it")


def tenants(config: PlatformConfig) -> Iterator[Finding]:
    """Check that each source is of the tenant whose services are here."""
    for name, source in config.sources.items():
        if source.route.tenant != DEFAULT_TENANT:
            what = f"source {name}: its events start nothing, as the tenant {source.route.tenant} has no services"
            fix = f"take `tenant` out of sources.{name} in config.yaml: services are those of `{DEFAULT_TENANT}`"
            yield warning("sources", what, fix)


def told_of(services: Sequence[StoredService], config: PlatformConfig, aliases: Aliases) -> Iterator[Finding]:
    """Check that somebody tells of the objects in remote inputs."""
    speaking = {canonical_provider(source.route.provider, aliases) for source in config.sources.values()}
    speaking |= {one.meant for one in _undefined(services, config, aliases)}  # whose slip is told instead
    for stored in services:
        for index, place in enumerate(stored.service.input):
            provider = canonical_provider(place.storage_provider, aliases)
            if provider != LOCAL_PROVIDER and provider not in speaking:
                what = f"service {stored.service.name}: no source tells of the objects in input[{index}], {provider}"
                fix = f"add a source with `provider: {provider}` to config.yaml, and have the store notify it"
                yield warning("sources", what, fix)


def undefined(services: Sequence[StoredService], config: PlatformConfig, aliases: Aliases) -> Iterator[Finding]:
    """Check that somebody defines the storage that each source speaks of."""
    for one in _undefined(services, config, aliases):
        what = f"source {one.source}: nobody defines its provider {one.provider}"
        fix = f"define it under `storage_providers` in config.yaml, or mend sources.{one.source}.provider there"
        meant = f"write `provider: {one.meant}` if that is meant; else " if one.meant else ""
        yield warning("sources", what, f"{meant}{fix}")


def _undefined(services: Sequence[StoredService], config: PlatformConfig, aliases: Aliases) -> Iterator[Undefined]:
    return undefined_providers(config, (stored.service for stored in services), aliases)


async def stores(
    services: Sequence[StoredService], config: PlatformConfig, aliases: Aliases, secrets: SecretStore
) -> list[Finding]:
    """Check that each remote bucket of the services can be listed, all at the same time."""
    buckets: defaultdict[tuple[str, str], list[Service]] = defaultdict(list)
    for stored in services:
        for place in (*stored.service.input, *stored.service.output):
            provider = canonical_provider(place.storage_provider, aliases)
            if provider != LOCAL_PROVIDER:
                buckets[provider, place.bucket].append(stored.service)
    looked = [_bucket(*where, users[0], config, secrets) for where, users in sorted(buckets.items())]
    return list(await asyncio.gather(*looked))


async def _bucket(
    provider: str, bucket: str, service: Service, config: PlatformConfig, secrets: SecretStore
) -> Finding:
    what = f"service {service.name}: {provider}, bucket {bucket}"
    kind, _, identity = provider.partition(".")
    own = service.storage_providers.get(kind, {}).get(identity)
    settings: Mapping[str, Any] | None = config.provider(provider) or (None if own is None else {"type": kind, **own})
    if settings is None:
        fix = f"define it under `storage_providers: {{{kind}: {{{identity}: ...}}}}` in config.yaml or the service"
        return error("storage", f"{what}: nobody defines {provider}", fix)
    if kind not in ("minio", "s3"):
        return warning("storage", f"{what}: runs cannot use storage of the type {kind}", "use s3, minio or local")
    # Late: obstore is loaded only where a service uses a remote store.
    from oscar_supervisor.storage.port import BucketMissingError
    from oscar_supervisor.storage.s3_look import look_into

    try:
        await asyncio.to_thread(look_into, _revealed(settings, secrets), bucket, ANSWER_SECONDS)
    except SecretMissingError as missing:
        return error("storage", f"{what}: {missing}", "apply the service again with its secrets")
    except BucketMissingError as missing:
        fix = f"make the bucket, like `mc mb ALIAS/{bucket}`, or apply the service with another path"
        return error("storage", f"{what}: {missing}", fix)
    except OscarEventsError as wrong:
        return error(
            "storage", f"{what}: {wrong}", f"start the store if it is down, or mend {provider} where it is set"
        )
    return ok("storage", f"{provider}, bucket {bucket} answers")


def _revealed(settings: Mapping[str, Any], secrets: SecretStore) -> dict[str, str]:
    found = {}
    for name, value in settings.items():
        identity = referred(value)
        if identity is not None:
            found[name] = secrets.get(identity)
        elif value is not None:
            found[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return found
