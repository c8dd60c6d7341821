"""A script written for MinIO's events understands those of folders."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.errors import EventError
from oscar_ingest.folder_record import File, folder_event, minio_record

MTIME_NS = 1_795_235_427_946_000_000
FILE = File("in", "photos/red flower+é%41.jpg".encode(), 7, 5, MTIME_NS, MTIME_NS + 10**9)
NOW = datetime(2026, 11, 21, 4, 30, 29, tzinfo=UTC)


def test_the_record_has_minios_shape() -> None:
    document = json.loads(minio_record(FILE))
    record = document["Records"][0]
    assert document["EventName"] == record["eventName"] == "s3:ObjectCreated:Put"
    assert document["Key"] == "in/photos/red flower+é%41.jpg"
    assert record["eventSource"] == "minio:s3"
    assert record["eventTime"] == "2026-11-21T04:30:28.946Z"  # ctime: when it came, not when it was last written
    assert record["s3"]["bucket"]["name"] == "in"
    assert record["s3"]["object"] == {
        "key": "photos%2Fred+flower%2B%C3%A9%2541.jpg",
        "size": 5,
        "eTag": f"7-5-{MTIME_NS:x}",
        "versionId": "",
        "sequencer": f"{MTIME_NS:X}",
        "contentType": "image/jpeg",
        "userMetadata": {"content-type": "image/jpeg"},
    }
    assert set(record) == {
        *("eventVersion", "eventSource", "awsRegion", "eventTime", "eventName", "userIdentity", "requestParameters"),
        *("responseElements", "s3", "source"),
    }


def test_the_same_stat_gives_the_same_bytes_and_id_and_another_version_another_id() -> None:
    assert folder_event(FILE, "listed", NOW) == folder_event(FILE, "listed", NOW)
    assert folder_event(FILE, "close_write", NOW).id == folder_event(FILE, "listed", NOW).id
    assert folder_event(replace(FILE, mtime_ns=1), "listed", NOW).id != folder_event(FILE, "listed", NOW).id


@given(st.binary(min_size=1, max_size=200).filter(lambda key: b"\0" not in key))
def test_a_script_finds_the_exact_key_even_if_it_is_not_text(key: bytes) -> None:
    document = json.loads(minio_record(replace(FILE, key=key)))
    assert unquote_to_bytes(document["Records"][0]["s3"]["object"]["key"].replace("+", " ")) == key


def test_a_later_version_sorts_after_an_earlier_one() -> None:
    sequences = [folder_event(replace(FILE, mtime_ns=ns), "listed", NOW).sequence or "" for ns in (-5, 9, 10, MTIME_NS)]
    assert sequences == sorted(sequences)


def test_a_path_longer_than_any_key_is_refused() -> None:
    with pytest.raises(EventError, match="1024"):
        folder_event(replace(FILE, key=b"k" * 1025), "listed", NOW)


def test_a_listed_event_names_whom_it_is_for() -> None:
    event = folder_event(FILE, "listed", NOW, ("uid",))
    assert event.service_uids == ("uid",)
    assert (event.provider, event.kind, event.source) == ("local.default", "folder", "folder://local.default/in")
    assert (event.file_id, event.modified_ns, event.size) == ("7", MTIME_NS, 5)
