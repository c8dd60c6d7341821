"""What a script finds in its input file when an event speaks of no object."""

from __future__ import annotations

import base64
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_supervisor.event_file import file_of


@pytest.mark.parametrize(
    ("body", "file"),
    [
        (b"", b""),
        (b'{"a":  1}\n', b'{"a":  1}\n'),  # JSON keeps its bytes, blanks too
        (b'"aGVsbG8="', b'"aGVsbG8="'),  # oscar-js sends base64 in quotes: it is JSON
        (b"1234", b"1234"),  # JSON and base64: JSON wins, as in OSCAR
        (b"true", b"true"),
        (b"aXQgd29ya3Mh", b"it works!"),  # test_save_event_binary of faas-supervisor
        (b"aXQgd29ya3Mh\n", b"it works!"),  # `echo` and editors end lines
        (b"hello wor", b"hello wor"),  # OSCAR's supervisor makes 6 bytes of garbage of it
        (b"hello world!", b"hello world!"),  # and crashes at this: incorrect padding
        (b"word\nwords", b"word\nwords"),  # text in lines, base64 without the newline
        (b"aGVsbG8", b"aGVsbG8"),  # without its padding it is not strict
        (b"\xff\xfe\x00", b"\xff\xfe\x00"),
        ("größe".encode(), "größe".encode()),
    ],
)
def test_json_stays_base64_is_decoded_and_the_rest_stays(body: bytes, file: bytes) -> None:
    assert file_of(body) == file


@pytest.mark.parametrize("length", [76, 64])
def test_base64_in_lines_is_base64(length: int) -> None:
    content = os.urandom(1000)
    text = base64.b64encode(content)
    lines = b"\n".join(text[start : start + length] for start in range(0, len(text), length))
    assert file_of(lines) == content
    assert file_of(lines + b"\n") == content


def test_lines_of_base64_letters_that_are_not_all_alike_are_text() -> None:
    text = b"a" * 76 + b"\n" + b"b" * 70 + b"\n" + b"c" * 74
    assert file_of(text) == text


@given(st.binary(max_size=300))
def test_whatever_is_sent_in_base64_arrives(content: bytes) -> None:
    sent = base64.b64encode(content)
    try:
        json.loads(sent)
    except ValueError:
        assert file_of(sent) == content
    else:
        assert file_of(sent) == sent
