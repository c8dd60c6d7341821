"""Which services an object starts, and which services would start each other for ever."""

from __future__ import annotations

from functools import cache
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.matching import ActiveService, Match, MatchIndex, find_loop
from oscar_events.service import Service, StorageIO

Place = tuple[str, str, tuple[str, ...], tuple[str, ...]]  # provider, path, prefixes, suffixes


def place(path: str, prefix: tuple[str, ...] = (), suffix: tuple[str, ...] = (), provider: str = "local") -> StorageIO:
    return StorageIO(storage_provider=provider, path=path, prefix=prefix, suffix=suffix)


def service(name: str, inputs: Any = (), outputs: Any = ()) -> Service:
    return Service(name=name, image="busybox", script="true", input=inputs, output=outputs)


@pytest.mark.parametrize(
    ("watched", "key", "starts"),
    [
        (place("pics/in"), b"in/a.jpg", True),
        (place("pics/in"), b"in/sub/a.jpg", True),  # sub-folders belong to the folder
        (place("pics/in"), b"input.jpg", False),  # a folder is no prefix of letters
        (place("pics/in"), b"in", False),  # a file called as the folder is not in it
        (place("pics/in"), b"in/", False),  # the folder's own marker object, which OSCAR itself creates
        (place("pics/in"), b"/in/a.jpg", False),  # another key to a store, whatever a file system makes of it
        (place("pics/in"), b"IN/a.jpg", False),
        (place("pics/in/sub"), b"in/a.jpg", False),
        (place("pics/in/sub"), b"in/sub/a.jpg", True),
        (place("pics/i"), b"i/a.jpg", True),
        (place("pics"), b"a.jpg", True),  # the whole bucket
        (place("pics"), b"/a.jpg", True),
        (place("pics"), b"in//a.jpg", True),
        (place("pics/in", suffix=("jpg", "png")), b"in/a.png", True),  # OR within a list
        (place("pics/in", suffix=("jpg", "png")), b"in/a.gif", False),
        (place("pics/in", prefix=("a",), suffix=("jpg",)), b"in/b.jpg", False),  # AND between lists
        (place("pics/in", prefix=("sub/a",)), b"in/sub/a.jpg", True),  # relative to the folder, not the file name
        (place("pics/in", prefix=("in",)), b"in/a.jpg", False),
        (place("pics/in", suffix=("in/a",)), b"in/a", False),  # the folder is not part of it
        (place("pics/in"), b"in/\xff", True),  # keys need not be text
        (place("pics/in", suffix=("\u00e9",)), b"in/\xc3\xa9", True),
        (place("pics/in", suffix=("\u00e9",)), b"in/e\xcc\x81", False),  # the same to the eye; never normalised
        (place("pics/e%CC"), b"e%CC/a+b", True),  # decoded once, long before here
        (place("music/in"), b"in/a.jpg", False),
        (place("pics/in", provider="minio"), b"in/a.jpg", False),
    ],
)
def test_an_object_starts_a_service_that_watches_its_folder(watched: StorageIO, key: bytes, starts: bool) -> None:
    index = MatchIndex([ActiveService("u1", "t", service("blur", [watched]))])
    assert index.match("t", "local.default", "pics", key) == ([Match("u1", 0)] if starts else [])


def test_a_tenants_objects_start_nobody_elses_services() -> None:
    index = MatchIndex([ActiveService("u1", "other", service("blur", [place("pics/in")]))])
    assert index.match("t", "local.default", "pics", b"in/a.jpg") == []


def test_a_service_starts_once_by_its_first_input_that_is_met() -> None:
    inputs = [place("pics/in", suffix=("png",)), place("pics/in/sub"), place("pics")]
    index = MatchIndex([ActiveService("u1", "t", service("blur", inputs))])
    assert index.match("t", "local.default", "pics", b"in/sub/a.jpg") == [Match("u1", 1)]


def test_an_alias_and_what_it_stands_for_are_one_provider() -> None:
    entry = ActiveService("u1", "t", service("blur", [place("pics/in", provider="minio")]))
    index = MatchIndex([entry], {"minio.default": "local.default"})
    assert index.match("t", "local.default", "pics", b"in/a") == [Match("u1", 0)]
    assert index.match("t", "minio.default", "pics", b"in/a") == [Match("u1", 0)]


_PROVIDERS = ["local.default", "minio.default", "s3.default"]
_ALIASES = {"minio.default": "local.default"}
_paths = st.sampled_from(["pics", "pics/a", "pics/a/a", "pics/a/\u00e9", "music/a"])
_affixes = st.lists(st.sampled_from(["a", "a/", "ab", "\u00e9", ""]), max_size=2).map(tuple)
_inputs = st.builds(place, _paths, _affixes, _affixes, st.sampled_from(_PROVIDERS))
_below = st.sampled_from([b"", b"/", b"a/", b"a/a/", b"a/\xc3\xa9/"])
_names = st.lists(st.sampled_from([b"a", b"b", b"/", b"\xc3", b"\xa9", b"\xff"]), max_size=5).map(b"".join)
_keys = st.builds(bytes.__add__, _below, _names)


def matches_naively(entries: list[ActiveService], tenant: str, provider: str, bucket: str, key: bytes) -> list[Match]:
    """Ask every input of every service; the specification MatchIndex has to be as good as."""
    found = []
    for entry in entries:
        for index, watched in enumerate(entry.service.input):
            inside = f"{watched.folder}/".encode() if watched.folder else b""
            rest = key.removeprefix(inside)
            if (
                entry.tenant == tenant
                and _ALIASES.get(watched.storage_provider, watched.storage_provider) == _ALIASES.get(provider, provider)
                and watched.bucket == bucket
                and key.startswith(inside)
                and rest
                and (not watched.prefix or any(rest.startswith(prefix.encode()) for prefix in watched.prefix))
                and (not watched.suffix or any(rest.endswith(suffix.encode()) for suffix in watched.suffix))
            ):
                found.append(Match(entry.uid, index))
                break
    return sorted(found)


@given(
    services=st.lists(st.tuples(st.sampled_from("tu"), st.lists(_inputs, max_size=3)), max_size=6),
    provider=st.sampled_from(_PROVIDERS),
    bucket=st.sampled_from(["pics", "music", "none"]),
    key=_keys,
)
def test_the_index_finds_what_asking_every_service_finds(
    services: list[tuple[str, list[StorageIO]]], provider: str, bucket: str, key: bytes
) -> None:
    entries = [
        ActiveService(f"u{number}", tenant, service("blur", inputs)) for number, (tenant, inputs) in enumerate(services)
    ]
    found = MatchIndex(entries, _ALIASES).match("t", provider, bucket, key)
    assert found == matches_naively(entries, "t", provider, bucket, key)


def loop(*services: Service) -> str | None:
    names = find_loop(services)
    return " -> ".join(names) if names else None


@pytest.mark.parametrize(
    ("watched", "written", "loops"),
    [
        (place("pics/in"), place("pics/out"), False),
        (place("pics/in"), place("pics/in"), True),
        (place("pics/in"), place("pics/in/done"), True),  # a sub-folder of the input
        (place("pics"), place("pics/out"), True),  # the input is the whole bucket
        (place("pics/out/sub"), place("pics/out"), True),  # sub-folders of the output are kept
        (place("pics/in"), place("pics/input"), False),  # a folder is no prefix of letters
        (place("pics/in"), place("music/in"), False),
        (place("pics/in"), place("pics/in", provider="s3"), False),
        (place("pics/in", suffix=("jpg",)), place("pics/in", suffix=("txt",)), False),  # the usual way out
        (place("pics/in", suffix=(".gz",)), place("pics/in", suffix=(".tar.gz",)), True),
        (place("pics/in", suffix=(".tar.gz",)), place("pics/in", suffix=(".gz",)), True),
        (place("pics/in", suffix=("jpg",)), place("pics/in"), True),  # nothing keeps the script from writing a jpg
        (place("pics/in", prefix=("raw-",)), place("pics/in", prefix=("done-",)), False),
        (place("pics/in", prefix=("r",)), place("pics/in", prefix=("done-", "raw-")), True),
        (place("pics/in/a", prefix=("x",)), place("pics/in", prefix=("b", "a/xy")), True),  # folder and prefix in one
        (place("pics/in/a", prefix=("x",)), place("pics/in", prefix=("b", "a/y")), False),
    ],
)
def test_a_service_whose_output_could_be_its_input_is_a_loop(
    watched: StorageIO, written: StorageIO, loops: bool
) -> None:
    assert loop(service("blur", [watched], [written])) == ("blur -> blur" if loops else None)


def test_a_loop_through_other_services_is_named_in_its_order() -> None:
    one = service("one", [place("pics/a")], [place("pics/b")])
    two = service("two", [place("pics/b")], [place("pics/c")])
    three = service("three", [place("pics/c")], [place("pics/a")])
    assert loop(one, two) is None
    assert loop(one, two, three) in {
        "one -> two -> three -> one",
        "two -> three -> one -> two",
        "three -> one -> two -> three",
    }


def test_a_loop_is_seen_through_an_alias() -> None:
    blur = service("blur", [place("pics/in", provider="minio")], [place("pics/in")])
    assert find_loop([blur]) is None
    assert find_loop([blur], {"minio.default": "local.default"}) == ["blur", "blur"]


# Long enough for the longest folder with prefix below ("a/a/" and 2 letters) and 2 letters of a suffix after it.
_ALL_KEYS = [bytes(key) for length in range(1, 9) for key in product(b"ab/", repeat=length)]
_loop_paths = st.sampled_from(["pics", "pics/a", "pics/b", "pics/a/a", "music/a"])
_loop_prefixes = st.lists(st.sampled_from(["a", "b", "aa", "ab"]), max_size=2, unique=True).map(tuple)
_loop_suffixes = st.lists(st.sampled_from(["a", "b", "ba", "bb"]), max_size=2, unique=True).map(tuple)
_loop_places = st.lists(st.builds(place, _loop_paths, _loop_prefixes, _loop_suffixes), min_size=1, max_size=2)


@cache
def _keys_of(folder: str, prefix: tuple[str, ...], suffix: tuple[str, ...]) -> frozenset[bytes]:
    """Return every key a place lets through, tried one by one."""
    inside = f"{folder}/".encode() if folder else b""
    return frozenset(
        key
        for key in _ALL_KEYS
        if key.startswith(inside)
        and (rest := key[len(inside) :])
        and (not prefix or any(rest.startswith(text.encode()) for text in prefix))
        and (not suffix or any(rest.endswith(text.encode()) for text in suffix))
    )


def objects(places: tuple[StorageIO, ...]) -> set[tuple[str, bytes]]:
    return {(each.bucket, key) for each in places for key in _keys_of(each.folder, each.prefix, each.suffix)}


def starts_itself(first: Service, services: list[Service]) -> bool:
    """Let every script write every object it may, start what that starts, and see whether the first starts again."""
    started: set[str] = set()
    running = [first]
    while running:
        written = objects(running.pop().output)
        for each in services:
            if each.name not in started and written & objects(each.input):
                started.add(each.name)
                running.append(each)
    return first.name in started


@given(places=st.lists(st.tuples(_loop_places, _loop_places), min_size=1, max_size=3))
def test_a_loop_is_found_exactly_if_running_the_services_comes_round(
    places: list[tuple[list[StorageIO], list[StorageIO]]],
) -> None:
    services = [service(f"s{number}", inputs, outputs) for number, (inputs, outputs) in enumerate(places)]
    found = find_loop(services)
    assert (found is not None) == any(starts_itself(each, services) for each in services)
    if found:
        by_name = {each.name: each for each in services}
        assert found[0] == found[-1]
        for name, follower in pairwise(found):
            assert objects(by_name[name].output) & objects(by_name[follower].input)
