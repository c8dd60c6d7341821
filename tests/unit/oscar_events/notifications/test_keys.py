"""Keys come out of their senders' encodings as the objects are really named (reference/event-formats.md §10)."""

from __future__ import annotations

from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.errors import EventError
from oscar_events.notifications.keys import KeyEncoding, decode_key, decode_minio_key

FORM, PERCENT, NONE = KeyEncoding.FORM, KeyEncoding.PERCENT, KeyEncoding.NONE


@pytest.mark.parametrize(
    ("wire", "encoding", "key"),
    [
        ("photos%2Fred+flower%2B%C3%A9%2541.jpg", FORM, "photos/red flower+é%41.jpg"),  # MinIO
        ("photos/red+flower%2B%C3%A9%2541.jpg", FORM, "photos/red flower+é%41.jpg"),  # AWS leaves slashes
        ("photos/red flower+é%41.jpg", NONE, "photos/red flower+é%41.jpg"),  # Ceph
        ("photos/red flower+é%41.jpg", FORM, "photos/red flower éA.jpg"),  # Ceph's taken for AWS's: the wrong object
        ("/in/photos/red%20flower%2B%C3%A9%2541.jpg", PERCENT, "/in/photos/red flower+é%41.jpg"),  # WebDAV
        ("a+b", PERCENT, "a+b"),  # a plus is a plus in a path
        ("a%2F..%2F..%2Fb", FORM, "a/../../b"),  # legal keys, which paths.py makes safe where they become file names
        ("..%2Fx", FORM, "../x"),
        ("%2Fabs", FORM, "/abs"),
        ("a%0Ab", FORM, "a\nb"),
        ("k" * 1024, FORM, "k" * 1024),
        ("a//b", FORM, "a//b"),
        ("a+", FORM, "a "),
        ("%ZZ", FORM, "%ZZ"),  # no encoding of anything: as it is
        ("e%CC%81", FORM, "e\u0301"),  # NFD stays NFD
        ("%C3%A9", FORM, "\u00e9"),  # NFC stays NFC
    ],
)
def test_a_key_is_decoded_as_its_sender_encodes(wire: str, encoding: KeyEncoding, key: str) -> None:
    assert decode_key(wire, encoding) == key.encode()


@pytest.mark.parametrize(
    ("wire", "encoding"), [("%E9", FORM), ("%E9", PERCENT), ("a%00b", FORM), ("a\0b", NONE), ("\ud800", NONE)]
)
def test_what_no_store_can_hold_goes_to_quarantine(wire: str, encoding: KeyEncoding) -> None:
    with pytest.raises(EventError, match="key"):
        decode_key(wire, encoding)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200))
def test_whatever_minio_encodes_is_the_key_again(key: str) -> None:
    assert decode_key(quote_plus(key), FORM) == key.encode()  # Go's url.QueryEscape
    assert decode_minio_key(quote_plus(key), "in", f"in/{key}") == key.encode()


@pytest.mark.parametrize(
    ("wire", "top_level", "key"),
    [
        ("a%2Bb", "in/a+b", "a+b"),  # the two agree
        ("a+b", "in/a+b", "a+b"),  # something undid the record's encoding: the top level holds
        ("a%2Bb", None, "a+b"),  # not there: the record's alone
        ("a%2Bb", "other/a b", "a+b"),  # of another bucket: no witness
    ],
)
def test_minios_two_spellings_of_a_key_check_each_other(wire: str, top_level: str | None, key: str) -> None:
    assert decode_minio_key(wire, "in", top_level) == key.encode()
