"""The job document says all an attempt needs, and is the same however often it is built."""

from __future__ import annotations

from dataclasses import replace

from oscar_dispatcher.jobs import build_job, with_secrets
from oscar_events import codec
from oscar_events.event import Action, StorageEvent
from oscar_events.job import InputObject, Output
from oscar_events.ledger.leases import Leased
from oscar_events.service import Service
from tests.contracts.ledger.making import file_event, service
from tests.unit.oscar_dispatcher.doubles import SITE


def lease(event: StorageEvent) -> Leased:
    return Leased(
        execution="run",
        attempt=2,
        nonce="nonce",
        token="token",
        lease_until=1,
        tenant="default",
        service_uid="uid",
        service="blur",
        revision=1,
        envelope=codec.encode(event).value,
    )


def test_the_same_attempt_leased_again_is_the_same_job() -> None:
    event = file_event()
    held = lease(event)
    again = replace(held, token="another", lease_until=99)
    first, second = (build_job(one, service(), event, SITE) for one in (held, again))
    assert first == second
    assert first.spec_hash() == second.spec_hash()


def test_a_job_names_its_attempt_and_the_platform_it_belongs_to() -> None:
    event = file_event()
    job = build_job(lease(event), service(timeout="90s"), event, SITE)
    assert (job.execution, job.attempt, job.nonce) == ("run", 2, "nonce")
    assert (job.instance, job.tenant, job.service) == ("the-ledger", "default", "blur")
    assert (job.script, job.timeout_s) == ("true\n", 90)
    assert (job.event_id, job.event) == (event.id, event.raw.body)


def test_the_input_is_pinned_to_the_version_of_the_event() -> None:
    event = replace(file_event(b"in/a b\xff.png", inode=7, size=3, mtime_ns=12), version="v1", etag="e1")
    assert build_job(lease(event), service(), event, SITE).input == InputObject(
        provider="local.default",
        bucket="pics",
        key=b"in/a b\xff.png",
        size=3,
        version="v1",
        etag="e1",
        file_id="7",
        modified_ns=12,
    )


def test_an_output_on_an_alias_goes_to_the_provider_it_stands_for() -> None:
    document = {
        "name": "blur",
        "image": "busybox",
        "script": "true",
        "output": [{"storage_provider": "minio", "path": "pics/out", "suffix": ["png"]}],
    }
    event = file_event()
    job = build_job(lease(event), Service.from_document(document), event, SITE)
    assert job.outputs == (Output(provider="local.default", bucket="pics", folder="out", suffix=("png",)),)


def test_a_job_carries_the_settings_of_the_storage_it_needs_and_no_other() -> None:
    event = file_event()
    assert set(build_job(lease(event), service(), event, SITE).storage) == {"local.default"}


def keeping_secrets(password: str, key: str) -> Service:
    """Return a service whose secrets are these references, as the ledger has them."""
    return Service.from_document(
        {
            "name": "blur",
            "image": "busybox",
            "script": "true",
            "environment": {"variables": {"RADIUS": "4"}, "secrets": {"PASSWORD": {"$secret": password}}},
            "output": [{"storage_provider": "s3.site", "path": "pics/out"}],
            "storage_providers": {"s3": {"site": {"secret_key": {"$secret": key}, "region": "eu"}}},
        }
    )


def test_secrets_are_looked_up_for_the_job_and_are_no_part_of_its_hash() -> None:
    event = file_event()
    one, other = keeping_secrets("id-1", "id-2"), keeping_secrets("id-3", "id-2")
    hashed = build_job(lease(event), one, event, SITE)
    job = with_secrets(hashed, one, SITE)
    assert job.environment == {"RADIUS": "4", "PASSWORD": "value of id-1"}
    assert job.storage["s3.site"] == {"type": "s3", "secret_key": "value of id-2", "region": "eu"}
    assert "value" not in str(hashed.environment) + str(hashed.storage)
    assert hashed.spec_hash() != build_job(lease(event), other, event, SITE).spec_hash()


def test_a_provider_of_the_platform_wins_over_the_services_definition_of_it() -> None:
    event = file_event()
    service = Service.from_document(
        {
            "name": "blur",
            "image": "busybox",
            "script": "true",
            "output": [{"storage_provider": "minio.site", "path": "pics/out"}],
            "storage_providers": {"minio": {"site": {"endpoint": "https://of-the-service"}}},
        }
    )
    ours = replace(SITE, storage={"minio.site": {"type": "minio", "endpoint": "https://of-the-platform"}})
    built = (build_job(lease(event), service, event, site) for site in (SITE, ours))
    endpoints = [job.storage["minio.site"]["endpoint"] for job in built]
    assert endpoints == ["https://of-the-service", "https://of-the-platform"]


def test_nothing_is_fetched_of_an_object_that_is_gone_or_if_the_service_wants_no_input() -> None:
    created = file_event()
    removed = replace(created, action=Action.REMOVED)
    without = Service.from_document({**service().document(), "file_stage_in": True})
    for event, definition in ((removed, service()), (created, without)):
        job = build_job(lease(event), definition, event, SITE)
        assert (job.input, job.stage_event) == (None, False)


def test_a_message_is_its_own_input() -> None:
    message = replace(file_event(), action=Action.RECEIVED)
    job = build_job(lease(message), service(), message, SITE)
    assert (job.input, job.stage_event) == (None, True)
