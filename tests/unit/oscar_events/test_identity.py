"""The same thing told twice has one name, and different things never share one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.identity import event_id, execution_id, folder_event_id, partition_key, s3_event_id

KEY = "photos/red flower+é%41.jpg".encode()


def test_the_vector_of_the_reference_is_reproduced() -> None:
    # reference/event-formats.md §14, made by other code
    assert s3_event_id("minio.default", "in", KEY, "1795235427946", "created") == "s3-r5bw2y7tamr5pwasjjutjstvca"


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
