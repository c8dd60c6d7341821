"""A storage event survives the bus, whatever its key, and whoever wrote the record."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events import codec
from oscar_events.errors import EventError
from oscar_events.event import MAX_KEY_BYTES, Action, Raw, StorageEvent

SAMPLES = Path(__file__).parents[2] / "data" / "events"
EVENT = StorageEvent(
    id="s3-r5bw2y7tamr5pwasjjutjstvca",
    provider="minio.default",
    bucket="in",
    key="photos/red flower+é%41.jpg".encode(),
    source="s3://minio.minio:9000/in",
    time=datetime(2026, 11, 21, 4, 30, 27, 946000, UTC),
    recorded=datetime(2026, 11, 21, 4, 30, 28, 102000, UTC),
    raw=Raw(b'{ "EventName":"s3:ObjectCreated:Put" }'),
    kind="s3",
    reason="put",
    version="v1",
    etag="5d41402abc4b2a76b9719d911017c592",
    size=5,
    content_type="image/jpeg",
    sequencer="18E9F51C32EAEE80",
    sequence="01795235427946000000",
    metadata={"x-amz-meta-x1": "v1"},
    tenant="alice",
    service="plants",
    service_uids=("uid-1", "uid-2"),
    hop_count=1,
    native_name="s3:ObjectCreated:Put",
    adapter="minio-webhook",
)

keys = st.binary(min_size=1, max_size=MAX_KEY_BYTES).filter(lambda key: b"\0" not in key)


def document(event: StorageEvent = EVENT) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(codec.encode(event).value)
    return written


def test_every_field_comes_back() -> None:
    assert codec.decode(codec.encode(EVENT).value) == EVENT
    folder = replace(EVENT, kind="folder", version=None, file_id="12", modified_ns=-1, action=Action.REMOVED)
    assert codec.decode(codec.encode(folder).value) == folder
    listed = replace(EVENT, version=None, by_etag=True)
    assert codec.decode(codec.encode(listed).value) == listed


@given(keys)
def test_any_key_comes_back_byte_for_byte(key: bytes) -> None:
    assert codec.decode(codec.encode(replace(EVENT, key=key)).value).key == key


@given(st.binary(max_size=300))
def test_the_script_finds_the_bytes_of_the_notification_whatever_they_are(body: bytes) -> None:
    assert codec.decode(codec.encode(replace(EVENT, raw=Raw(body))).value).raw.body == body


@given(keys)
def test_the_subject_is_ascii_and_names_the_key(key: bytes) -> None:
    subject = codec.subject(key)
    assert subject.isascii()
    assert subject.isprintable()
    assert codec.key_of(subject) == key


def test_a_sample_written_before_still_decodes() -> None:
    # A record outlives the release that wrote it: this file is never rewritten, new forms get a file beside it.
    assert codec.decode((SAMPLES / "storage-object-v1.json").read_bytes()) == EVENT


def test_what_a_newer_version_adds_is_ignored() -> None:
    written = document()
    written["newattribute"] = "x"
    written["data"]["newfield"] = {"a": [1]}
    for block in ("storage", "object", "native", "origin", "raw"):
        written["data"][block]["newfield"] = 1
    assert codec.decode(json.dumps(written).encode()) == EVENT


def test_what_a_sender_leaves_out_has_its_default() -> None:
    written = document()
    for name in ("tenant", "service", "hopcount", "sequence", "subject", "partitionkey", "dataschema"):
        del written[name]
    for name in ("reason", "services", "native", "origin"):
        del written["data"][name]
    read = codec.decode(json.dumps(written).encode())
    assert (read.tenant, read.service, read.hop_count, read.service_uids) == ("default", None, 0, ())
    assert read.key == EVENT.key


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("specversion",), "2.0", "specversion"),
        (("data", "schema"), 2, "data.schema 2"),  # another major schema means other things by the same fields
        (("data", "raw", "encoding"), "gzip", "encoding"),
        (("data", "object", "key"), None, "neither"),
        (("data", "object", "key"), "a\0b", "NUL"),
        (("data", "action"), "exploded", "action"),
        (("time",), "2026-11-21T04:30:27", "envelope"),  # whose time?
    ],
)
def test_a_record_that_cannot_be_meant_is_refused_with_the_reason(
    path: tuple[str, ...], value: object, reason: str
) -> None:
    written = document()
    block = written
    for name in path[:-1]:
        block = block[name]
    block[path[-1]] = value
    with pytest.raises(EventError, match=reason):
        codec.decode(json.dumps(written).encode())


@given(st.binary(max_size=200))
def test_bytes_that_are_no_envelope_are_refused_and_never_crash(value: bytes) -> None:
    with pytest.raises(EventError):
        codec.decode(value)


def test_the_record_can_be_filtered_without_reading_it() -> None:
    record = codec.encode(EVENT)
    headers = dict(record.headers)
    assert headers["ce_id"] == EVENT.id.encode()
    assert headers["ce_type"] == b"oscar.storage.object.created.v1"
    assert record.key == b"e7feba305ee5ab86"  # reference/event-formats.md §15, made by other code
    assert record.timestamp_ms == 1795235428102
