"""One event and what is known of its service become jobs: one for each record.

In:  the bytes of the event, the service's facts, the root of the paths, the time. Out: `Job`s; reasons to do nothing.
Not here: wrappings (incoming.py), notification formats (oscar_events/notifications), running a job (one_run.py).

Changed on purpose: every record is run, where OSCAR's supervisor drops all but the first; a removed object is not
fetched, and a folder's marker starts nothing.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oscar_events.errors import ConfigurationError
from oscar_events.job import InputObject, Job, Output
from oscar_supervisor.credentials import settings_for
from oscar_supervisor.incoming import Incoming, unwrap
from oscar_supervisor.service_facts import ServiceFacts

if TYPE_CHECKING:
    from oscar_events.event import StorageEvent

_TENANT = "default"
_PARAMETER_PREFIX = "CONT_VAR_"
_STORAGE_TYPES = frozenset({"minio", "s3", "local", "onedata", "webdav", "rucio"})
_S3_LIKE = frozenset({"minio", "s3"})
# 128 random bits in base32, as long as the execution ids of the platform: no two runs on a machine share a name.
_RANDOM_BYTES, _ID_LENGTH = 16, 26


@dataclass(frozen=True, slots=True)
class Jobs:
    """What one event asks for.

    ignored: why a record of it is meant to start nothing. refused: why one is no usable event.
    """

    jobs: tuple[Job, ...]
    ignored: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def jobs_of(body: bytes, service: ServiceFacts, root: Path, now: datetime) -> Jobs:
    """Return the jobs of an event, in the order of its records.

    Raises ConfigurationError if the script or a provider is missing, EventError for a wrapping nobody can take off.
    """
    incoming = unwrap(body)
    if incoming.storage is None:
        return Jobs((_message_job(incoming, service, root, now),))
    from oscar_events.notifications.port import Notification
    from oscar_events.notifications.recognise import normalise

    notification = Notification(incoming.body, {}, now, _fresh_id())
    normalised = normalise(notification, _route(incoming, incoming.storage, service, None))
    by_provider = {event.provider: normalised for event in normalised.events}
    jobs = []
    for position, event in enumerate(normalised.events):
        route = _route(incoming, incoming.storage, service, event.bucket)
        if route.provider not in by_provider:  # known only now that its bucket is; the event's id depends on it
            by_provider[route.provider] = normalise(notification, route)
        jobs.append(_object_job(by_provider[route.provider].events[position], incoming, service, root))
    return Jobs(tuple(jobs), normalised.ignored, tuple(refusal.reason for refusal in normalised.refused))


def provider_of(incoming: Incoming, storage: str, service: ServiceFacts, bucket: str | None) -> str:
    """Return the provider that holds the object: as the delegating cluster named it, else as the service's inputs do.

    On a laptop the service may take its inputs from local directories, and their events look like MinIO's.
    """
    if "." in storage:
        return storage
    named = incoming.provider or "default"
    if named.partition(".")[0] in _STORAGE_TYPES and "." in named:
        return named
    if named != "default":
        return f"{storage}.{named}"
    kinds = {storage, "local"} if storage in _S3_LIKE else {storage}
    for place in service.inputs:
        if place.bucket == bucket and place.provider.partition(".")[0] in kinds:
            return place.provider
    return f"{storage}.default"


def _route(incoming: Incoming, storage: str, service: ServiceFacts, bucket: str | None) -> Any:
    from oscar_events.notifications.port import Route

    return Route(source="stdin", provider=provider_of(incoming, storage, service, bucket))


def _message_job(incoming: Incoming, service: ServiceFacts, root: Path, now: datetime) -> Job:
    return _job(
        incoming,
        service,
        root,
        service.outputs,
        event=incoming.body,
        event_id="",
        event_time=now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        stage_event=service.stage_in,
    )


def _object_job(event: StorageEvent, incoming: Incoming, service: ServiceFacts, root: Path) -> Job:
    from oscar_events.codec import attributes, iso
    from oscar_events.event import Action

    source = InputObject(
        provider=event.provider,
        bucket=event.bucket,
        key=event.key,
        size=event.size,
        version=event.version,
        etag=event.etag,
    )
    return _job(
        incoming,
        service,
        root,
        tuple(_in_own_bucket(output, event.bucket, service) for output in service.outputs),
        event=event.raw.body,
        event_id=event.id,
        event_time=iso(event.time),
        event_attributes=attributes(event),
        input=source if service.stage_in and event.action is not Action.REMOVED else None,
        hop_count=event.hop_count,
    )


def _job(incoming: Incoming, service: ServiceFacts, root: Path, outputs: tuple[Output, ...], /, **of_event: Any) -> Job:
    if not service.script:
        raise ConfigurationError(
            "there is no script to run: mount /oscar/config/script.sh, set SCRIPT (base64), or give --script FILE"
        )
    source: InputObject | None = of_event.get("input")
    providers = {output.provider for output in outputs} | ({source.provider} if source else set())
    return Job(
        instance="",
        execution=_fresh_id(),
        attempt=1,
        nonce="",
        tenant=_TENANT,
        service=service.name,
        script=service.script,
        timeout_s=service.timeout_s,
        outputs=outputs,
        storage={provider: settings_for(provider, service.storage, root) for provider in sorted(providers)},
        environment={
            **service.variables,
            **{f"{_PARAMETER_PREFIX}{name}": value for name, value in incoming.parameters.items()},
        },
        log_level=service.log_level,
        **of_event,
    )


def _in_own_bucket(output: Output, bucket: str, service: ServiceFacts) -> Output:
    """Put the results of a user's own bucket into the same one, if the output names a folder (OSCAR's isolation)."""
    if bucket not in service.own_buckets or not output.folder or not output.provider.startswith("minio."):
        return output
    return Output(
        provider=output.provider, bucket=bucket, folder=output.folder, prefix=output.prefix, suffix=output.suffix
    )


def _fresh_id() -> str:
    return base64.b32encode(os.urandom(_RANDOM_BYTES)).decode().lower()[:_ID_LENGTH]
