"""Names from outside, made safe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oscar_events.errors import EventError
from oscar_events.paths import MAX_NAME_BYTES, local_name, printable, split_key

HARD = [
    b" ",
    b"a b+c%41.txt",
    "caf\u00e9".encode(),
    "cafe\u0301".encode(),
    b"a\nb",
    b"x" * 1020 + b".png",
    b"/a",
    b"a/",
    b"..",
    b"a/../..",
    b".",
    b"",
    b"//",
    b"\xff\xfe",
    b"a\0b",
    b"script.sh",
]
KEYS = st.binary(max_size=1024) | st.sampled_from(HARD) | st.lists(st.sampled_from(HARD)).map(b"/".join)


@given(KEYS)
@example(b"a/" + b"x" * 300 + b"." + b"y" * 40)
@example(b"." * 300)
def test_a_local_name_is_always_one_file_in_the_directory(key: bytes) -> None:
    name = local_name(key)
    assert 0 < len(name) <= MAX_NAME_BYTES
    assert name not in (b".", b"..")
    assert b"/" not in name
    assert b"\0" not in name
    assert os.path.normpath(b"/d/" + name) == b"/d/" + name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (b"in/a b+c%41.txt", b"a b+c%41.txt"),  # never decoded again
        ("in/cafe\u0301".encode(), "cafe\u0301".encode()),  # nor normalised
        (b"in/caf\xe9", b"caf\xe9"),
        (b"in/folder/", b"folder"),
        (b"in/..", b"input"),
        (b"", b"input"),
        (b"in/script.sh", b"script.sh"),
        (b"x" * 400 + b".tar.gz", b"x" * 252 + b".gz"),
        (b"x" * 400 + b"." + b"y" * 100, b"x" * 255),  # no suffix anybody looks at
        ("\u00e9" * 200 + ".jpg", "\u00e9" * 125 + ".jpg"),  # 254 bytes: no half character
    ],
)
def test_a_local_name_is_the_last_part_of_the_key_with_its_suffix(key: bytes | str, name: bytes | str) -> None:
    expected = name if isinstance(name, bytes) else name.encode()
    assert local_name(key if isinstance(key, bytes) else key.encode()) == expected


@given(KEYS)
def test_a_key_is_split_into_names_that_stay_below_the_root_or_refused(key: bytes) -> None:
    try:
        components = split_key(key)
    except EventError:
        return
    assert b"/".join(components) == key
    path = b"/".join((b"/root", *components))
    assert os.path.normpath(path) == path


@pytest.mark.parametrize("key", [b"", b"/", b"/a", b"a/", b"a//b", b".", b"a/./b", b"..", b"../a", b"a/..", b"a\0b"])
def test_a_key_that_could_leave_the_root_or_meet_another_key_is_refused(key: bytes) -> None:
    with pytest.raises(EventError):
        split_key(key)


@given(st.binary(max_size=200))
def test_a_printable_key_prints(key: bytes) -> None:
    assert printable(key).isprintable()


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (b"a b/c.txt", "a b/c.txt"),
        ("caf\u00e9 \U0001f600".encode(), "caf\u00e9 \U0001f600"),
        (b"caf\xe9", "caf\\xe9"),
        (b"a\nb\x1b[31m", "a\\nb\\x1b[31m"),
        ("txt.\u202egpj".encode(), "txt.\\u202egpj"),  # what would show this name reversed
    ],
)
def test_a_printable_key_shows_what_would_not_print(key: bytes, text: str) -> None:
    assert printable(key) == text


@given(st.binary(min_size=1, max_size=100).filter(lambda key: b"\0" not in key))
def test_the_kernel_agrees_that_a_local_name_is_a_name(tmp_path_factory: pytest.TempPathFactory, key: bytes) -> None:
    directory = tmp_path_factory.getbasetemp() / "names"
    directory.mkdir(exist_ok=True)
    file = Path(os.fsdecode(os.path.join(os.fsencode(directory), local_name(key))))
    file.touch()
    assert os.listdir(os.fsencode(directory)) == [local_name(key)]
    file.unlink()
