"""Whether the buckets of services are there, and told of, for whoever applies them: a look, never a refusal.

In:  services, config.yaml. Out: warnings for their authors; nothing of stores that are slow, away or will not say.
Not here: every other check of storage (oscar_events/doctor), making buckets or having them told of.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from oscar_events.config import PlatformConfig
from oscar_events.errors import NotFoundError, OscarEventsError
from oscar_events.manager.buckets import places
from oscar_events.matching import Folder, folders_of
from oscar_events.service import Service

# A person waits for `apply`, which is done by now: a store that takes longer is for the doctor.
ANSWER_SECONDS = 2.0
_DEFAULT_PROVIDER = "minio.default"  # that of `buckets watch`


@dataclass(frozen=True, slots=True)
class _Look:
    """What is known of a bucket. untold: the folders that nobody is told of."""

    is_missing: bool = False
    untold: tuple[Folder, ...] = ()


async def look_at_buckets(services: Sequence[Service], config: PlatformConfig) -> list[list[str]]:
    """Return for each service what is missing: a bucket, or somebody who tells of an input. All are asked at once.

    Only MinIOs that config.yaml defines are asked: their keys are known, and both is one question to them.
    """
    asked = {provider for provider in config.providers() if provider.startswith("minio.")}
    named = {(place.storage_provider, place.bucket) for service in services for _, place in places(service)}
    wheres = sorted(where for where in named if where[0] in asked)
    looks = dict(zip(wheres, await asyncio.gather(*(_look(*where, services, config) for where in wheres)), strict=True))
    return [_said(service, looks) for service in services]


def _said(service: Service, looks: dict[tuple[str, str], _Look]) -> list[str]:
    said = []
    for field, place in places(service):
        provider, bucket = place.storage_provider, place.bucket
        look = looks.get((provider, bucket), _Look())
        if look.is_missing:
            said.append(f"{field}: {provider} has no bucket {bucket}; make it, like `mc mb ALIAS/{bucket}`")
        elif field.startswith("input") and place.folder in {folder.name for folder in look.untold}:
            which = [] if provider == _DEFAULT_PROVIDER else ["--provider", provider]
            watch = shlex.join(["oscar-events", "buckets", "watch", "--all", *which])
            said.append(
                f"{field}: {provider} tells nobody of what comes there, so only listings find it; run `{watch}`"
            )
    return said


async def _look(provider: str, bucket: str, services: Sequence[Service], config: PlatformConfig) -> _Look:
    settings = config.provider(provider) or {}
    try:
        from oscar_events.manager.watching import covers, watching  # its library is an extra

        async with asyncio.timeout(ANSWER_SECONDS), watching(settings) as store:
            rules = await store.rules(bucket)
    except NotFoundError:
        return _Look(is_missing=True)
    except (OscarEventsError, TimeoutError, ModuleNotFoundError):
        return _Look()  # away, no right to look, its client not installed: nothing for the author of a service to mend
    if any(source.listens and source.route.provider == provider for source in config.sources.values()):
        return _Look()
    inputs = ((place, service.dispatch.event_types) for service in services for place in service.input)
    folders = folders_of(inputs, provider, {}).get(bucket, ())
    return _Look(untold=tuple(folder for folder in folders if not covers(rules, folder)))
