"""What a storage event may speak of."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime

import pytest

from oscar_events.errors import EventError
from oscar_events.event import MAX_KEY_BYTES, Raw, StorageEvent

NOW = datetime(2026, 11, 21, 4, 30, 27, 946000, UTC)


def event(key: bytes) -> StorageEvent:
    return StorageEvent(
        id="s3-x",
        provider="minio.default",
        bucket="in",
        key=key,
        source="s3://minio/in",
        time=NOW,
        recorded=NOW,
        raw=Raw(b"{}"),
        kind="s3",
    )


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b"a\0b", "NUL"),  # no file name and no database text holds it
        (b"", "empty"),  # the bucket is no object
        (b"k" * (MAX_KEY_BYTES + 1), "1024 at most"),
    ],
)
def test_a_key_no_object_can_have_is_refused_with_the_reason(key: bytes, reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        event(key)


@pytest.mark.parametrize("field", ["size", "modified_ns"])
def test_a_number_no_database_holds_is_refused_before_it_reaches_one(field: str) -> None:
    replace(event(b"a"), **{field: 2**63 - 1})  # type: ignore[arg-type]
    with pytest.raises(EventError, match="largest number a database holds"):
        replace(event(b"a"), **{field: 2**63})  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [b"../a", b"/abs", b"a//b", b"a/", b"\xff", b"a\nb", b"k" * MAX_KEY_BYTES])
def test_an_unusual_key_is_kept_as_it_is(key: bytes) -> None:
    assert event(key).key == key


@pytest.mark.parametrize(
    ("key", "name"), [(b"a.jpg", b"a.jpg"), (b"p/q/a.jpg", b"a.jpg"), (b"folder/", b"folder"), (b"/", b"")]
)
def test_the_name_is_the_last_segment_of_the_key(key: bytes, name: bytes) -> None:
    assert event(key).name == name


def test_an_event_never_changes() -> None:
    with pytest.raises(FrozenInstanceError):
        event(b"a").key = b"b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        event(b"a").metadata["x"] = "y"  # type: ignore[index]
