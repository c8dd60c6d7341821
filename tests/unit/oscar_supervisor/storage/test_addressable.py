"""Which keys can be said to an S3 store, held against obstore itself."""

from __future__ import annotations

import obstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from oscar_events.errors import EventError
from oscar_supervisor.storage.addressable import addressable, addressable_bucket


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (b"", "it is empty"),
        (b"/lead", "begins or ends with '/'"),
        (b"dir/", "begins or ends with '/'"),
        (b"a//b", "holds '//'"),
        (b".", "'.' or '..' stands for a folder"),
        (b"a/./b", "'.' or '..' stands for a folder"),
        (b"a/../b", "'.' or '..' stands for a folder"),
        (b"new\nline", "a control character"),
        (b"nul\0", "a control character"),
        (b"delete\x7f", "a control character"),
        (b"\xff", "not UTF-8"),
        (b"a" * 1025, "1025 bytes, and S3 ends at 1024"),
    ],
)
def test_a_key_that_cannot_be_said_is_refused_with_the_reason(key: bytes, why: str) -> None:
    with pytest.raises(EventError, match=f"cannot be addressed: .*{why}"):
        addressable(key)


@pytest.mark.parametrize("key", ["/lead", "dir/"])
def test_obstore_says_these_keys_as_others(key: str) -> None:
    """If this fails, obstore has learnt them, and addressable() may let them through."""
    store = MemoryStore()
    obstore.put(store, key, b"")
    assert [found["path"] for chunk in obstore.list(store) for found in chunk] == [key.strip("/")]


@given(st.one_of(st.text(max_size=40), st.text(alphabet="a/.\n %+é\\", max_size=12)))
def test_every_key_that_is_let_through_is_said_as_it_is(key: str) -> None:
    try:
        said = addressable(key.encode("utf-8", "surrogatepass"))
    except EventError:
        return
    store = MemoryStore()
    obstore.put(store, said, b"")
    assert [found["path"] for chunk in obstore.list(store) for found in chunk] == [key]


@pytest.mark.parametrize("bucket", ["pictures", "my.dotted-bucket", "tenant:bucket", "Old_Style", "a" * 255])
def test_a_bucket_as_some_store_has_it_is_asked_for(bucket: str) -> None:
    assert addressable_bucket(bucket) == bucket


@pytest.mark.parametrize(
    "bucket", ["", ".", "..", "a/b", "a?versioning", "a#b", "a%2Fb", "a b", "na\u00efve", "a\n", "a" * 256]
)
def test_a_bucket_that_would_be_another_request_is_refused(bucket: str) -> None:
    with pytest.raises(EventError, match="no bucket can be called"):
        addressable_bucket(bucket)
