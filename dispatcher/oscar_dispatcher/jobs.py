"""Builds the job document of a leased attempt.

In:  the lease, the service at its revision, the event. Out: a `Job`, complete.
Not here: sending it (backends/), reading service or event from the ledger (schedule.py). Pure: the same lease gives the
same document, so that a submit whose answer was lost can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oscar_events.codec import attributes, iso
from oscar_events.event import StorageEvent
from oscar_events.job import InputObject, Job, Output
from oscar_events.ledger.leases import Leased
from oscar_events.matching import Aliases, canonical_provider
from oscar_events.service import Service, StorageIO


@dataclass(frozen=True, slots=True)
class Site:
    """What is the same for all jobs of a platform.

    instance: the ledger's uuid. storage: settings by provider id. aliases: other names of those providers.
    """

    instance: str
    storage: Mapping[str, Mapping[str, str]]
    aliases: Aliases


def build_job(leased: Leased, service: Service, event: StorageEvent, site: Site) -> Job:
    """Return the document of the attempt."""
    outputs = tuple(_output(place, site.aliases) for place in service.output)
    providers = sorted({event.provider, *(output.provider for output in outputs)})
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
        input=InputObject(
            provider=event.provider,
            bucket=event.bucket,
            key=event.key,
            size=event.size,
            version=event.version,
            etag=event.etag,
            file_id=event.file_id,
            modified_ns=event.modified_ns,
        ),
        outputs=outputs,
        storage={provider: dict(site.storage[provider]) for provider in providers if provider in site.storage},
        environment=dict(service.environment.variables),
        log_level=service.log_level,
    )


def _output(place: StorageIO, aliases: Aliases) -> Output:
    return Output(
        provider=canonical_provider(place.storage_provider, aliases),
        bucket=place.bucket,
        folder=place.folder,
        prefix=place.prefix,
        suffix=place.suffix,
    )
