"""The same thing told twice has one name, and different things never share one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.identity import (
    cloudevent_event_id,
    dcache_billing_event_id,
    dcache_event_id,
    event_id,
    execution_id,
    folder_event_id,
    message_event_id,
    message_source,
    object_source,
    onedata_event_id,
    partition_key,
    rucio_event_id,
    s3_event_id,
)

KEY = "photos/red flower+é%41.jpg".encode()


def test_the_vector_of_the_reference_is_reproduced() -> None:
    # reference/event-formats.md §14, made by other code
    assert s3_event_id("minio.default", "in", KEY, "1795235427946", "created") == "s3-r5bw2y7tamr5pwasjjutjstvca"


@pytest.mark.parametrize(
    ("made", "vector"),  # made by other code
    [
        (
            dcache_event_id("webdav.dcache", "https://d:3880/api/v1/events/channels/C", "41"),
            "dcache-xe4prx4h56rkixjnbyyc2stqxe",
        ),
        (
            dcache_billing_event_id("webdav.dcache", "s", "0000F4", "transfer", "2026-11-21T05:30:28.013+01:00"),
            "dcache-w6prfh22klajc3yu6gbtsdvmmy",
        ),
        (onedata_event_id("onedata.default", "space", "0000", "1042"), "onedata-f2mndaazeffwxkdc7nxyk22np4"),
        (
            rucio_event_id("rucio.default", "close", "", "user.jdoe", "dataset_name", "2026-11-21 04:30:28.013000"),
            "rucio-3wosyjwycxedmxdk34z3kpioru",
        ),
        (cloudevent_event_id("minio.default", "/a", "1"), "cloudevents-qaqex2d42xcnpjirghfjrjvbf4"),
        (message_event_id("in", "1"), "message-4jvvgtibkmwysh6oczagipjvgm"),
    ],
)
def test_the_ids_of_other_technologies_stay_what_they_are(made: str, vector: str) -> None:
    assert made == vector


@pytest.mark.parametrize(
    ("provider", "source"),
    [
        ("minio.default", "s3://minio.default/in"),
        ("s3.frankfurt", "s3://s3.frankfurt/in"),
        ("gcs.default", "s3://gcs.default/in"),  # a bucket with keys, as S3's
        ("local.default", "folder://local.default/in"),
        ("onedata.default", "onedata://onedata.default/in"),
        ("webdav.dcache", "webdav://webdav.dcache/in"),
        ("rucio.default", "rucio://rucio.default/in"),
    ],
)
def test_the_source_of_a_bucket_follows_from_its_provider_and_name(provider: str, source: str) -> None:
    assert object_source(provider, "in") == source


def test_a_bucket_with_odd_characters_is_written_without_them() -> None:
    assert object_source("local.default", "a b?é") == "folder://local.default/a+b%3F%C3%A9"
    assert message_source("a b") == "message://a+b"


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=4), st.lists(st.binary(max_size=8), min_size=1, max_size=4))
def test_ids_are_equal_only_where_every_field_is(left: list[bytes], right: list[bytes]) -> None:
    assert (event_id("s3", *left) == event_id("s3", *right)) == (left == right)


def test_moving_a_byte_from_one_field_to_the_next_is_another_event() -> None:
    assert event_id("s3", "a", "bc") != event_id("s3", "ab", "c")


@pytest.mark.parametrize(
    "changed", [{"bucket": "out"}, {"key": b"b"}, {"inode": 8}, {"size": 2}, {"mtime_ns": 1_000_000_001}]
)
def test_a_file_that_differs_in_anything_stat_tells_is_another_event(changed: dict[str, object]) -> None:
    file: dict[str, object] = {"bucket": "in", "key": b"a", "inode": 7, "size": 1, "mtime_ns": 1_000_000_000}
    assert folder_event_id("local.default", **file) != folder_event_id("local.default", **{**file, **changed})  # type: ignore[arg-type]


def test_a_key_that_is_not_utf8_has_an_id_too() -> None:
    assert folder_event_id("local.default", "in", b"\xff", 7, 1, 1).startswith("folder-")


def test_an_execution_belongs_to_one_tenant_service_event_and_redrive() -> None:
    names = {
        execution_id("t", "u", "e"),
        execution_id("T", "u", "e"),
        execution_id("t", "U", "e"),
        execution_id("t", "u", "E"),
        execution_id("t", "u", "e", "redrive", "1"),
        execution_id("t", "u", "e", "redrive", "2"),
        execution_id("t", "u", "e", "replay", "1"),
    }
    assert len(names) == 7
    assert all(re.fullmatch("[a-z2-7]{26}", name) for name in names)  # fits in a DNS label, after the service's name


def test_events_of_one_object_share_a_partition_and_those_of_one_bucket_spread() -> None:
    source = "folder://local.default/in"
    assert partition_key(source, KEY) == partition_key(source, KEY)
    assert len({partition_key(source, b"%d" % n) for n in range(100)}) == 100
