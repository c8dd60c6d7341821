"""Which keys a pattern means, and what can be said of all of them."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.matching.globs import Glob


@pytest.mark.parametrize(
    ("pattern", "key", "meets"),
    [
        ("*.png", b"a.png", True),
        ("*.png", b"sub/a.png", False),  # no star crosses a slash
        ("**/*.png", b"a.png", True),  # any number of folders, also none
        ("**/*.png", b"x/y/a.png", True),
        ("raw/**", b"raw/x/y", True),
        ("raw/**", b"raw", True),
        ("raw/**", b"rawer/x", False),
        ("**/raw/**/*.png", b"a/raw/b/raw/c.jpg/d.png", True),
        ("**/a/b", b"a/a/b", True),  # the first `a` is not the one
        ("a**b", b"axxb", True),  # two stars within a segment are one
        ("a**b", b"a/b", False),
        ("?", b"\xc3\xa9", True),  # a character, not a byte
        ("?", b"\xff", True),  # a byte that is no UTF-8 counts as one
        ("??", b"\xc3\xa9", False),
        ("[!a]", b"b", True),
        ("[a-c]x", b"bx", True),
        ("[", b"[", True),  # no set, so it is what it is
        ("*.PNG", b"a.png", False),
        (".*", b".hidden", True),
        ("*", b".hidden", True),  # as fnmatch, unlike a shell
        ("*", b"a\n", True),
        ("a", b"a\n", False),
    ],
)
def test_a_pattern_means_these_keys(pattern: str, key: bytes, meets: bool) -> None:
    assert Glob.of(pattern).meets(key) is meets


def _meets_slowly(pattern: list[str], key: list[str]) -> bool:
    """The specification: try every number of segments for each `**`; segments here are letters, `*` or `?`."""
    if not pattern:
        return not key
    if pattern[0] == "**":
        return any(_meets_slowly(pattern[1:], key[skipped:]) for skipped in range(len(key) + 1))
    return bool(key) and (pattern[0] in ("*", key[0])) and _meets_slowly(pattern[1:], key[1:])


@given(st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=6))
def test_any_depth_is_tried_out(pattern: list[str]) -> None:
    glob = Glob.of("/".join(pattern))
    for length in range(1, 6):
        for key in product("ab", repeat=length):
            assert glob.meets("/".join(key).encode()) is _meets_slowly(pattern, list(key)), key


_KEYS = ["".join(key) for length in range(1, 6) for key in product("a[/", repeat=length)]


@given(st.lists(st.sampled_from(["a", "[", "]", "*", "?", "/", "**", "[a]"]), min_size=1, max_size=5).map("".join))
def test_all_keys_a_pattern_means_begin_and_end_as_it_says(pattern: str) -> None:
    glob = Glob.of(pattern)
    for key in _KEYS:
        if glob.meets(key.encode()):
            assert key.startswith(glob.prefix), key
            assert key.endswith(glob.suffix), key


def test_a_long_pattern_of_stars_and_a_long_key_are_answered() -> None:
    assert not Glob.of("*a" * 500 + "b").meets(b"a" * 1024)
    assert not Glob.of("**/a/" * 200 + "b").meets(b"a/" * 511 + b"a")
