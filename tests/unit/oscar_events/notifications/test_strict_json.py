"""JSON that one reader would take one way and another reader another, or that breaks readers, comes no further."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.errors import EventError
from oscar_events.notifications.strict_json import MAX_DEPTH, NotJsonError, dump, parse

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(documents)
def test_every_plain_document_is_read_and_written_as_it_is(document: object) -> None:
    assert parse(json.dumps(document).encode()) == document
    assert parse(dump(document)) == document


def is_plain(document: object, levels: int = MAX_DEPTH) -> bool:
    """Whether readers agree on a document: looked at member by member, as slowly as it takes."""
    if isinstance(document, str):
        return not any("\ud800" <= char <= "\udfff" for char in document)
    if isinstance(document, list):
        return levels > 0 and all(is_plain(each, levels - 1) for each in document)
    if isinstance(document, dict):
        names_are_plain = all(is_plain(name) and "\0" not in name for name in document)
        return names_are_plain and is_plain(list(document.values()), levels)
    return True


odd_texts = st.text("a\\u0\0\ud800\N{GRINNING FACE}", max_size=3)
odd_documents = st.recursive(
    st.none() | odd_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_texts, inner, max_size=3),
    max_leaves=5,
)


@given(odd_documents, st.integers(0, MAX_DEPTH + 1))
def test_a_document_is_read_exactly_if_nothing_in_it_breaks_readers(document: object, levels: int) -> None:
    for _ in range(levels):
        document = [document]
    body = json.dumps(document).encode()
    if is_plain(document):
        assert parse(body) == document
    else:
        with pytest.raises(EventError, match=r"surrogate|NUL|64 levels"):
            parse(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a":1,"a":2}', "the name 'a' twice"),
        (b'[{"b":{"a":1,"c":1,"a":1}}]', "the name 'a' twice"),
        (b'{"a":NaN}', "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "-Infinity"),
        (b"[1e999]", "1e999"),
        (b"[" + b"1" * 5000 + b"]", "4,300 digits"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\udc00":1}', "surrogate"),
        (b'{"a\\u0000":1}', "NUL"),
        (b"[" * 65 + b"]" * 65, "64 levels"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "64 levels"),
        (b"[" * 100_000, "64 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "64 levels"),
    ],
)
def test_what_readers_disagree_on_or_break_at_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(EventError, match=reason) as raised:
        parse(body)
    assert not isinstance(raised.value, NotJsonError)


def test_the_deepest_document_allowed_is_read() -> None:
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert parse(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_a_nul_in_a_value_is_left_to_who_takes_the_value() -> None:
    assert parse(b'{"a":"\\u0000"}') == {"a": "\0"}


@pytest.mark.parametrize("body", [b"", b"hello", b"{", b"\xff\xfe", b'{"a":1}x', b'{"a":1}\n{"a":2}', b"'a'"])
def test_what_is_no_json_is_told_apart(body: bytes) -> None:
    with pytest.raises(NotJsonError, match="not JSON"):
        parse(body)


def test_a_name_that_is_twice_among_thousands_is_found() -> None:
    body = b"{" + b",".join(b'"%d":1' % n for n in range(12_000)) + b',"11999":1}'
    with pytest.raises(EventError, match="'11999' twice"):
        parse(body)
