"""Checks whether MinIO tells what services wait for, where it has been told to send it somewhere.

In:  the active services, config.yaml. Out: findings.
Not here: setting it up (`oscar-events buckets watch`), whether there is a source at all, or the store answers
(storage.py).
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence

from oscar_events.config import PlatformConfig
from oscar_events.doctor.finding import Finding, ok, warning
from oscar_events.doctor.storage import ANSWER_SECONDS
from oscar_events.errors import OscarEventsError
from oscar_events.ledger.services import StoredService
from oscar_events.matching import Aliases, Folder, canonical_provider, input_folders


async def notified(services: Sequence[StoredService], config: PlatformConfig, aliases: Aliases) -> list[Finding]:
    """Check that the rules of each input bucket cover its inputs; nothing for stores that cannot be asked.

    A store that some source listens at needs no rules.
    """
    heard = {source.route.provider for source in config.sources.values() if source.listens}
    spoken = {source.route.provider for source in config.sources.values()} - heard
    providers = sorted({canonical_provider(one, aliases) for one in spoken if one.startswith("minio.")})
    found: list[Finding] = []
    for provider in providers:
        folders = input_folders((stored.service for stored in services), provider, aliases)
        settings = config.provider(provider)
        if folders and settings is not None:
            found += await _store(provider, settings, folders)
    return found


async def _store(provider: str, settings: dict[str, str], folders: dict[str, tuple[Folder, ...]]) -> list[Finding]:
    try:
        from oscar_events.manager.watching import covers, watching  # its library is an extra
    except ModuleNotFoundError:
        return []
    found = []
    try:
        async with asyncio.timeout(ANSWER_SECONDS), watching(settings) as store:
            for bucket, inside in folders.items():
                rules = await store.rules(bucket)
                missing = [folder for folder in inside if not covers(rules, folder)]
                found += [_untold(provider, bucket, folder) for folder in missing]
                if not missing:
                    found.append(ok("notifications", f"{provider} tells of the inputs in bucket {bucket}"))
    except (OscarEventsError, TimeoutError):
        pass  # away, no such bucket: told by the check of stores; no right to look: many users have none
    return found


def _untold(provider: str, bucket: str, folder: Folder) -> Finding:
    wanted = " and ".join(sorted(folder.actions))
    what = f"{provider} tells nobody of all that is {wanted} in {bucket}/{folder.prefix}; only listings find it"
    return warning(
        "notifications", what, shlex.join(["oscar-events", "buckets", "watch", bucket, "--provider", provider])
    )
