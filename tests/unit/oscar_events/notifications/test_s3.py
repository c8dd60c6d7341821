"""MinIO, AWS and Ceph write nearly the same records, and each key, version and order is read by its own rule."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from oscar_events.errors import EventError
from oscar_events.event import MAX_HOPS, Action
from oscar_events.notifications.keys import KeyEncoding
from tests.unit.oscar_events.notifications.arriving import (
    KEY,
    RECEIVED,
    ROUTE,
    arrive,
    document,
    ignored,
    only_event,
    refused,
    sample,
)

MINIO = "minio-kafka-ObjectCreated-Put"


def changed(name: str = MINIO, **fields: Any) -> Any:
    """A recorded document with other members of `object`; None takes one away."""
    made = document(name)
    made["Records"][0]["s3"]["object"] |= fields
    for member in [member for member, value in fields.items() if value is None]:
        del made["Records"][0]["s3"]["object"][member]
    return made


def test_the_documented_event_of_minio_has_the_id_of_the_reference() -> None:
    assert only_event(sample("docs-minio-ObjectCreated-Put")).id == "s3-r5bw2y7tamr5pwasjjutjstvca"


def test_one_object_told_by_webhook_and_by_kafka_is_one_event() -> None:
    assert only_event(sample("minio-webhook-request")) == only_event(sample(MINIO))


def test_everything_minio_says_of_an_object_is_in_its_event() -> None:
    event = only_event(sample(MINIO))
    assert (event.provider, event.kind, event.bucket, event.key) == ("minio.default", "s3", "in-kit", KEY)
    assert event.source == "s3://minio.default/in-kit"
    assert (event.action, event.reason, event.native_name) == (Action.CREATED, "put", "s3:ObjectCreated:Put")
    assert event.time == datetime(2026, 11, 21, 5, 40, 44, 698000, UTC)
    assert event.recorded == RECEIVED
    assert (event.size, event.etag, event.version) == (5, "5d41402abc4b2a76b9719d911017c592", None)
    assert (event.sequencer, event.sequence) == ("18E9F8F1FCE560C6", "01795239644697551046")
    assert (event.content_type, event.metadata) == ("image/jpeg", {"x-amz-meta-x1": "v1"})
    assert (event.tenant, event.service, event.adapter, event.hop_count) == ("alice", None, "uploads", 0)
    assert event.raw.body == sample(MINIO)


@pytest.mark.parametrize(
    ("name", "action", "reason", "key"),
    [
        ("minio-kafka-ObjectCreated-CompleteMultipartUpload", "created", "multipart", b"big.bin"),
        ("minio-kafka-ObjectCreated-Copy", "created", "copy", b"copy.jpg"),
        ("minio-kafka-ObjectCreated-Put-versioned", "created", "put", b"v.txt"),
        ("minio-kafka-ObjectRemoved-Delete", "removed", "delete", KEY),
        ("minio-kafka-ObjectRemoved-DeleteMarkerCreated-versioned", "removed", "delete_marker", b"v.txt"),
        ("docs-aws-ObjectCreated-Put", "created", "put", KEY),
        ("ceph-http-ObjectCreated-Put", "created", "put", KEY),
        ("ceph-http-ObjectCreated-Put-versioned", "created", "put", b"v.txt"),
        ("ceph-http-ObjectCreated-Copy", "created", "copy", b"copy.txt"),
        ("ceph-http-ObjectCreated-CompleteMultipartUpload", "created", "multipart", b"mp.bin"),
        ("ceph-http-ObjectRemoved-Delete", "removed", "delete", "dir/red flower+é%41.jpg".encode()),
        ("ceph-http-ObjectRemoved-DeleteMarkerCreated-versioned", "removed", "delete_marker", b"v.txt"),
    ],
)
def test_what_real_servers_sent_is_understood(name: str, action: str, reason: str, key: bytes) -> None:
    event = only_event(sample(name))
    assert (event.action, event.reason, event.key, event.raw.body) == (action, reason, key, sample(name))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("s3:ObjectCreated:PutTagging", "tags, retention or access changed, not the content"),
        ("s3:ObjectCreated:DeleteTagging", "tags, retention or access changed, not the content"),
        ("s3:ObjectCreated:PutRetention", "tags, retention or access changed, not the content"),
        ("s3:ObjectCreated:PutLegalHold", "tags, retention or access changed, not the content"),
        ("ObjectTagging:Put", "tags, retention or access changed, not the content"),
        ("ObjectAcl:Put", "tags, retention or access changed, not the content"),
        ("s3:ObjectAccessed:Get", "the object was read"),
        ("s3:Replication:OperationCompletedReplication", "replication"),
        ("ObjectSynced:Create", "replication"),
        ("ObjectRestore:Post", "a restore began or ended"),
        ("s3:ObjectTransition:Complete", "the object was moved to another storage class"),
        ("LifecycleTransition", "the object was moved to another storage class"),
        ("IntelligentTiering", "the object was moved to another storage class"),
        ("s3:ObjectRemoved:NoOP", "nothing was removed"),
        ("s3:LifecycleDelMarkerExpiration:Delete", "nothing was removed"),
        ("s3:BucketCreated:*", "about a bucket or the store, not an object"),
    ],
)
def test_what_changes_no_content_is_ignored(name: str, reason: str) -> None:
    made = document(MINIO)
    made["Records"][0]["eventName"] = name
    assert ignored(made) == reason


@pytest.mark.parametrize(
    ("name", "action", "reason"),
    [
        ("ObjectRestore:Completed", Action.RESTORED, "restore"),
        ("LifecycleExpiration:Delete", Action.REMOVED, "lifecycle"),
        ("ObjectLifecycle:Expiration:Current", Action.REMOVED, "lifecycle"),
        ("ObjectRemoved:DeleteAllVersions", Action.REMOVED, "delete_all_versions"),
    ],
)
def test_removals_and_restores_are_events_of_their_own(name: str, action: Action, reason: str) -> None:
    made = document(MINIO)
    made["Records"][0]["eventName"] = name
    event = only_event(made)
    assert (event.action, event.reason) == (action, reason)


@pytest.mark.parametrize("name", ["s3:ObjectCreated:Append", "ObjectRemoved:DeleteSomehow", "ObjectCreated", "Object"])
def test_a_name_nobody_knows_is_refused_not_guessed(name: str) -> None:
    made = document(MINIO)
    made["Records"][0]["eventName"] = name
    assert "does not know" in refused(made)


def test_a_recorded_tagging_event_is_ignored() -> None:
    assert ignored(sample("minio-kafka-ObjectCreated-PutTagging")).startswith("tags")


@pytest.mark.parametrize(
    "body", [sample("minio-kafka-ObjectCreated-Put-folder"), changed("docs-aws-ObjectCreated-Put", key="a/", size=0)]
)
def test_a_folders_marker_is_ignored(body: object) -> None:
    assert ignored(body) == "a folder's marker, not a file"


def test_a_key_that_ends_in_a_slash_with_content_is_an_object() -> None:
    made = changed(key="a%2F", size=3)
    made["Key"] = "in-kit/a/"
    assert only_event(made).key == b"a/"


def test_the_beginning_of_a_multipart_upload_on_ceph_is_ignored_and_a_posted_form_is_not() -> None:
    begun, form = document("ceph-http-ObjectCreated-Put"), document("ceph-http-ObjectCreated-Put")
    for made, size in ((begun, 0), (form, 5)):
        made["Records"][0]["eventName"] = "ObjectCreated:Post"
        made["Records"][0]["s3"]["object"]["size"] = size
    assert ignored(begun) == "a multipart upload began"
    assert only_event(form).reason == "post"


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        (MINIO, "01795239644697551046"),  # nanoseconds in hex
        ("ceph-http-ObjectCreated-Put", "01795241382911296845"),  # two little-endian numbers
        ("docs-aws-ObjectCreated-Put", "0055AED6DCD90281E500000000000000"),  # padded on the right
    ],
)
def test_sequencers_sort_as_text_whoever_wrote_them(name: str, sequence: str) -> None:
    assert only_event(sample(name)).sequence == sequence


def test_the_order_of_cephs_events_is_seen_only_once_they_are_decoded() -> None:
    put, marker = (
        only_event(sample(f"ceph-http-{name}"))
        for name in ("ObjectCreated-Put-versioned", "ObjectRemoved-DeleteMarkerCreated-versioned")
    )
    assert put.sequence is not None
    assert marker.sequence is not None
    assert put.sequence < marker.sequence
    assert str(put.sequencer) > str(marker.sequencer)


@pytest.mark.parametrize("version", ["", "null"])
def test_without_a_real_version_minios_time_tells_versions_apart(version: str) -> None:
    without = only_event(sample(MINIO))
    event = only_event(changed(versionId=version))
    assert (event.version, event.id) == (None, without.id)
    assert only_event(changed(sequencer="18E9F8F1FDE560C6")).id != without.id
    assert only_event(changed(sequencer="18E9F8F1FCE560C7")).id == without.id  # within the millisecond of listings


def test_a_version_is_what_tells_versions_apart_where_there_is_one() -> None:
    name = "minio-kafka-ObjectCreated-Put-versioned"
    assert only_event(changed(name, sequencer="18E9F8F203370000")).id == only_event(sample(name)).id
    assert only_event(changed(name, versionId="other")).id != only_event(sample(name)).id


def test_old_minio_without_sequencer_is_told_apart_by_the_time_of_the_event() -> None:
    event = only_event(changed(sequencer=None))
    assert event.sequence is None
    assert event.id != only_event(sample(MINIO)).id


def test_the_same_content_uploaded_again_is_another_event_even_where_the_store_has_no_sequencer() -> None:
    first = changed("docs-aws-ObjectCreated-Put", sequencer=None, versionId=None)
    second = changed("docs-aws-ObjectCreated-Put", sequencer=None, versionId=None)
    second["Records"][0]["eventTime"] = "2026-11-21T04:30:28.000Z"
    assert only_event(first).id != only_event(second).id


def test_creating_and_removing_one_version_are_two_events() -> None:
    put, delete = document(MINIO), document(MINIO)
    delete["Records"][0]["eventName"] = "s3:ObjectRemoved:Delete"
    assert only_event(put).id != only_event(delete).id


def test_provider_tenant_and_service_come_from_the_route_whatever_the_body_claims() -> None:
    made = document(MINIO) | {"provider": "evil", "tenant": "evil", "service": "evil", "storage_provider": "evil"}
    made["Records"][0]["requestParameters"]["principalId"] = "evil"
    event = only_event(made, replace(ROUTE, service="plants"))
    assert (event.provider, event.tenant, event.service) == ("minio.default", "alice", "plants")


def test_the_route_says_how_keys_are_written_where_a_clone_differs() -> None:
    made = changed(key="a+b%41")
    for encoding, key in ((KeyEncoding.FORM, b"a bA"), (KeyEncoding.PERCENT, b"a+bA"), (KeyEncoding.NONE, b"a+b%41")):
        assert only_event(made, replace(ROUTE, key_encoding=encoding)).key == key


def test_where_a_proxy_undid_the_encoding_minios_own_key_counts() -> None:
    assert only_event(changed(key=KEY.decode())).key == KEY


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("key", None, r"s3\.object\.key is missing"),
        ("key", "", r"s3\.object\.key is missing"),
        ("key", 5, r"s3\.object\.key is 5, expected text"),
        ("key", "%E9", "not UTF-8"),
        ("key", "a%00b", "NUL"),
        ("size", -1, "size is -1"),
        ("size", "five", "size is 'five'"),
        ("size", 1.5, r"size is 1\.5"),
        ("size", True, "size is True"),
        ("size", 2**63, "beyond"),
        ("sequencer", "xyz", "sequencer is 'xyz'"),
        ("sequencer", "0x18", "sequencer is '0x18'"),
        ("sequencer", "F" * 17, "sequencer"),
        ("eTag", ["a"], "eTag"),
        ("eTag", "a\0b", "NUL"),
        ("userMetadata", "none", "userMetadata"),
        ("userMetadata", {"X-Amz-Meta-A": 5}, "X-Amz-Meta-A is 5, expected text"),
        ("metadata", [5], "metadata is no list of objects"),
        ("metadata", [{"key": []}], "key is"),
        ("metadata", [{"val": "v1"}], "key is missing"),
    ],
)
def test_a_broken_record_is_refused_with_the_place_and_what_is_there(field: str, value: object, reason: str) -> None:
    made = changed()
    made.pop("Key")
    there = made["Records"][0]["s3"]["object"]
    there[field] = value
    assert re.search(reason, refused(made))


@pytest.mark.parametrize("bucket", ["", ".", "..", "a/b", "a\nb", "b" * 256, 7])
def test_a_bucket_that_is_none_is_refused(bucket: object) -> None:
    made = document(MINIO)
    made["Records"][0]["s3"]["bucket"]["name"] = bucket
    assert "bucket" in refused(made)


@pytest.mark.parametrize("time", ["", "yesterday", "2026-11-21T04:30:27", "0001-01-01T00:00:00+14:00", 5, None])
def test_a_time_that_is_none_is_refused(time: object) -> None:
    made = document(MINIO)
    made["Records"][0]["eventTime"] = time
    assert "eventTime" in refused(made)


def test_a_key_longer_than_any_store_allows_is_refused() -> None:
    made = changed(key="k" * 1025)
    made["Key"] = "in-kit/" + "k" * 1025
    assert "1024 at most" in refused(made)


@pytest.mark.parametrize("value", ["1", str(MAX_HOPS)])
def test_an_object_that_runs_made_says_how_many(value: str) -> None:
    event = only_event(changed(userMetadata={"X-Amz-Meta-Oscar-Events-Hops": value}))
    assert event.hop_count == int(value)


def test_an_object_at_the_end_of_a_loop_starts_nothing() -> None:
    hops = {"X-Amz-Meta-Oscar-Events-Hops": str(MAX_HOPS + 1)}
    assert "a loop of services: the object was made by 17 runs" in refused(changed(userMetadata=hops))
    ceph = changed("ceph-http-ObjectCreated-Put", metadata=[{"key": "x-amz-meta-oscar-events-hops", "val": "17"}])
    assert "a loop of services: the object was made by 17 runs" in refused(ceph)


@pytest.mark.parametrize("value", ["-1", "1e9", "", "²", "0x1", "9999"])
def test_hops_that_are_no_number_are_refused(value: str) -> None:
    assert "oscar-events-hops" in refused(changed(userMetadata={"X-Amz-Meta-Oscar-Events-Hops": value}))


def test_the_whole_document_is_refused_when_it_is_no_json_of_its_kind() -> None:
    with pytest.raises(EventError, match="not JSON"):
        arrive(sample(MINIO)[:-1], content_type="application/json")
