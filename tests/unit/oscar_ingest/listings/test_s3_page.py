"""What a page of a listing says, as real stores write it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from oscar_events.errors import UnavailableError
from oscar_events.identity import s3_event_id
from oscar_events.minio_client import REGION
from oscar_ingest.listings.s3 import S3Lister
from oscar_ingest.listings.s3_page import Store, is_versioned, read_page

MINIO = Store("minio.default", "pics", tells_time=True)
AWS = Store("s3.default", "pics", tells_time=False)
TIME = datetime(2026, 11, 21, 15, 6, 56, 604_000, tzinfo=UTC)


def entry(kind: str = "Contents", key: str = "in/a", version: str = "", **fields: str) -> str:
    told = {"LastModified": "2026-11-21T15:06:56.604Z", "ETag": "&#34;e1&#34;", "Size": "1", **fields}
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in told.items())
    version = f"<VersionId>{version}</VersionId>" if version else ""
    return f"<{kind}><Key>{key}</Key>{inside}{version}</{kind}>"


def answer(*entries: str, top: str = "<IsTruncated>false</IsTruncated>") -> bytes:
    inside = "".join(entries)
    return (
        f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{top}{inside}</ListBucketResult>'.encode()
    )


def test_an_object_is_read_with_its_key_as_it_is() -> None:
    (found,) = read_page(answer(entry(key="in/a+%2B%C3%A9%2541.jpg")), MINIO).objects
    assert (found.key, found.etag, found.size, found.arrived) == ("in/a +é%41.jpg".encode(), "e1", 1, TIME)


@pytest.mark.parametrize(
    ("store", "version", "identity", "by_etag"),
    [
        (MINIO, "", "1795273616604", False),
        (MINIO, "null", "1795273616604", False),  # written before versioning, or while it is suspended
        (MINIO, "9d5eb1bd", "9d5eb1bd", False),
        (AWS, "9d5eb1bd", "9d5eb1bd", False),
        # The notification has a sequencer that no listing tells: only the content can
        (AWS, "", "e1+1795273616604", True),
        (AWS, "null", "e1+1795273616604", True),
    ],
)
async def test_the_id_of_a_listed_object(store: Store, version: str, identity: str, by_etag: bool) -> None:
    (found,) = read_page(answer(entry(version=version)), store).objects
    assert found.event_id == s3_event_id(store.provider, "pics", b"in/a", identity, "created")
    assert found.by_etag is by_etag
    settings = {"type": "minio" if store is MINIO else "s3", "endpoint": "http://127.0.0.1:1"}
    event = await S3Lister(store.provider, settings, timedelta(0)).event(found, TIME, ("u",))
    assert event is not None
    assert (event.id, event.by_etag, event.service_uids, event.time) == (found.event_id, by_etag, ("u",), TIME)
    assert (event.reason, event.provider, event.version) == ("listed", store.provider, found.version)


@pytest.mark.parametrize(
    "left_out",
    [
        entry(key="in/folder/", Size="0"),  # a folder's marker
        entry(StorageClass="GLACIER"),  # nothing can be read of it for hours
        entry(StorageClass="DEEP_ARCHIVE"),
        entry("DeleteMarker", version="d"),
        entry("CommonPrefixes"),
    ],
)
def test_what_is_no_input_is_left_out(left_out: str) -> None:
    found = read_page(answer(left_out, entry(key="in/b", StorageClass="GLACIER_IR")), MINIO)
    assert [one.key for one in found.objects] == [b"in/b"]


def test_what_a_delete_marker_took_away_stays_away_over_pages() -> None:
    newer, marker = entry("Version", version="3"), entry("DeleteMarker", version="2")
    older, other = entry("Version", version="1"), entry("Version", key="in/b", version="1")
    first = read_page(answer(newer, marker), MINIO)
    second = read_page(answer(older, other), MINIO, first.deleted)
    assert [(one.key, one.version) for one in first.objects] == [(b"in/a", "3")]
    assert [(one.key, one.version) for one in second.objects] == [(b"in/b", "1")]


@pytest.mark.parametrize(
    ("top", "following"),
    [
        ("<IsTruncated>false</IsTruncated>", None),
        ("", None),
        (
            "<IsTruncated>true</IsTruncated><NextContinuationToken>x%2B</NextContinuationToken>",
            {"continuation-token": "x%2B"},
        ),
        (
            "<IsTruncated>true</IsTruncated><NextKeyMarker>in/a%5Bminio%5D</NextKeyMarker>"
            "<NextVersionIdMarker>7</NextVersionIdMarker>",
            {"key-marker": "in/a[minio]", "version-id-marker": "7"},
        ),
    ],
)
def test_where_the_next_page_is(top: str, following: dict[str, str] | None) -> None:
    assert read_page(answer(top=top), MINIO).following == following


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"<r><Contents><Size>1</Size></Contents></r>",
        b"<r><Contents><Key>a</Key><Size>x</Size></Contents></r>",
        b"<r><Contents><Key>a</Key><Size>1</Size></Contents></r>",
        b"<r><IsTruncated>true</IsTruncated></r>",
    ],
)
def test_what_is_no_listing_is_told_as_a_store_that_does_not_answer_right(body: bytes) -> None:
    with pytest.raises(UnavailableError, match="pics"):
        read_page(body, MINIO)


@pytest.mark.parametrize(
    ("body", "is_versions"),
    [
        (b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></VersioningConfiguration>', False),
        (b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>", True),
        (b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>", True),
    ],
)
def test_versions_are_listed_where_there_may_be_some(body: bytes, is_versions: bool) -> None:
    assert is_versioned(body) is is_versions


def test_a_store_without_endpoint_is_amazon_s() -> None:
    lister = S3Lister("s3.default", {"type": "s3"}, timedelta(0))
    assert lister._settings["endpoint"] == f"https://s3.{REGION}.amazonaws.com"
