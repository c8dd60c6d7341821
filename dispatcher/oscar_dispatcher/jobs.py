"""Builds the job document of a leased attempt.

In:  the lease, the service at its revision, the event, how to look a secret up. Out: a `Job`, complete.
Not here: sending it (backends/), reading service or event from the ledger (schedule.py).

Pure but for looking secrets up: the same lease gives the same document, so that a submit whose answer was lost can be
repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from oscar_dispatcher.storage_settings import settings_of
from oscar_events.codec import attributes, iso
from oscar_events.event import Action, StorageEvent
from oscar_events.job import InputObject, Job, Output
from oscar_events.ledger.leases import Leased
from oscar_events.matching import Aliases, canonical_provider
from oscar_events.secrets import referred
from oscar_events.service import Service, StorageIO

# A secret's id -> its value. Raises SecretMissingError.
Reveal = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Site:
    """What is the same for all jobs of a platform.

    instance: the ledger's uuid. storage: settings by provider id, secrets in them as references. aliases: other names
    of those providers. reveal: looks secrets up.
    """

    instance: str
    storage: Mapping[str, Mapping[str, Any]]
    aliases: Aliases
    reveal: Reveal


def build_job(leased: Leased, service: Service, event: StorageEvent, site: Site) -> Job:
    """Return the document of the attempt as it is hashed: secrets stand in it as their ids (design §3.6)."""
    outputs = tuple(_output(place, site.aliases) for place in service.output)
    source = _input(service, event, site.aliases)
    providers = {output.provider for output in outputs} | ({source.provider} if source else set())
    return Job(
        instance=site.instance,
        execution=leased.execution,
        attempt=leased.attempt,
        nonce=leased.nonce,
        tenant=leased.tenant,
        service=leased.service,
        script=service.script,
        event=event.raw.body,
        event_id=event.id,
        event_time=iso(event.time),
        event_attributes=attributes(event),
        timeout_s=service.dispatch.timeout.total_seconds(),
        input=source,
        stage_event=not event.has_object and not service.file_stage_in,
        hop_count=event.hop_count,
        outputs=outputs,
        storage=_storage(sorted(providers), service, site, _as_id),
        environment=_environment(service, _as_id),
        log_level=service.log_level,
    )


def with_secrets(job: Job, service: Service, site: Site) -> Job:
    """Return the document with the values of its secrets: what is sent, and never hashed, shown or stored.

    Raises what looking them up raises.
    """
    storage = _storage(job.storage, service, site, site.reveal)
    return msgspec.structs.replace(job, storage=storage, environment=_environment(service, site.reveal))


def _storage(providers: Iterable[str], service: Service, site: Site, reveal: Reveal) -> dict[str, dict[str, str]]:
    found = {provider: settings_of(provider, service, site.storage) for provider in providers}
    return {
        provider: {name: _revealed(value, reveal) for name, value in settings.items()}
        for provider, settings in found.items()
        if settings is not None
    }


def _environment(service: Service, reveal: Reveal) -> dict[str, str]:
    secrets = {name: _revealed(value, reveal) for name, value in service.environment.secrets.items()}
    return {**service.environment.variables, **secrets}


def _as_id(identity: str) -> str:
    return identity


def _input(service: Service, event: StorageEvent, aliases: Aliases) -> InputObject | None:
    """Return what is staged in: nothing of an object that is gone, of none at all, or if the service wants none.

    file_stage_in true means that the input is *not* fetched; the name is OSCAR's (reference/oscar.md §1.1).
    """
    if service.file_stage_in or not event.has_object or event.action is Action.REMOVED:
        return None
    return InputObject(
        provider=canonical_provider(event.provider, aliases),
        bucket=event.bucket,
        key=event.key,
        size=event.size,
        version=event.version,
        etag=event.etag,
        file_id=event.file_id,
        modified_ns=event.modified_ns,
    )


def _output(place: StorageIO, aliases: Aliases) -> Output:
    return Output(
        provider=canonical_provider(place.storage_provider, aliases),
        bucket=place.bucket,
        folder=place.folder,
        prefix=place.prefix,
        suffix=place.suffix,
    )


def _revealed(value: object, reveal: Reveal) -> str:
    identity = referred(value)
    if identity is not None:
        return reveal(identity)
    return str(value).lower() if isinstance(value, bool) else str(value)
