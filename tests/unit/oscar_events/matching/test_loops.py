"""Which services would start each other for ever."""

from __future__ import annotations

from functools import cache
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.event import Action
from oscar_events.matching import find_loop
from oscar_events.matching.wanted import Wanted
from oscar_events.service import Dispatch, Service, StorageIO
from tests.unit.oscar_events.matching.making import place, service


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


@pytest.mark.parametrize(
    ("dispatch", "written", "loops"),
    [
        ({"event_types": ["removed"]}, place("pics/in"), False),  # putting a result takes nothing away
        ({"event_types": ["removed", "updated"]}, place("pics/in"), True),  # some stores call an overwrite that
        ({"filters": {"suffix": ".png"}}, place("pics/in", suffix=(".txt",)), False),
        ({"filters": {"suffix": ".png"}}, place("pics/in"), True),
        ({"filters": {"prefix": "raw/"}}, place("pics/in/done"), False),
        ({"filters": {"prefix": "raw/"}}, place("pics/in/raw/x"), True),
        ({"filters": {"glob": "*.png"}}, place("pics/in", suffix=(".txt",)), False),
        ({"filters": {"glob": "raw/**"}}, place("pics/in/done"), False),
        ({"filters": {"glob": "raw/**"}}, place("pics/in/raw"), True),
        (
            {"filters": {"glob": ["raw/*", "*.png"]}},
            place("pics/in/done", suffix=(".png",)),
            True,
        ),  # not seen: harmless
        ({"filters": {"size": {"max": 1}}}, place("pics/in"), True),  # nobody knows how large a result will be
    ],
)
def test_a_filter_breaks_a_loop_only_if_no_result_could_pass_it(
    dispatch: dict[str, Any], written: StorageIO, loops: bool
) -> None:
    assert loop(service("blur", [place("pics/in")], [written], **dispatch)) == ("blur -> blur" if loops else None)


# Long enough for the longest folder with prefix below ("a/a/" and 2 letters) and 2 letters of a suffix after it.
_ALL_KEYS = [bytes(key) for length in range(1, 9) for key in product(b"ab/", repeat=length)]
_loop_paths = st.sampled_from(["pics", "pics/a", "pics/b", "pics/a/a", "music/a"])
_loop_prefixes = st.lists(st.sampled_from(["a", "b", "aa", "ab"]), max_size=2, unique=True).map(tuple)
_loop_suffixes = st.lists(st.sampled_from(["a", "b", "ba", "bb"]), max_size=2, unique=True).map(tuple)
_loop_places = st.lists(st.builds(place, _loop_paths, _loop_prefixes, _loop_suffixes), min_size=1, max_size=2)
_loop_filters = st.builds(lambda prefix, suffix: {"prefix": prefix, "suffix": suffix}, _loop_prefixes, _loop_suffixes)
_loop_globs = st.lists(
    st.sampled_from(["a", "a*", "*b", "**", "a/**", "**/b", "?b", "[ab]a*"]), max_size=2, unique=True
)
_Filters = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


@cache
def _keys_of(place: tuple[str, tuple[str, ...], tuple[str, ...]], filters: _Filters) -> frozenset[bytes]:
    """Return every key a place lets through, tried one by one."""
    path, prefix, suffix = place
    watched = StorageIO(storage_provider="local", path=path, prefix=prefix, suffix=suffix)
    asked = dict(zip(("prefix", "suffix", "glob"), filters, strict=True))
    wanted = Wanted.of(watched, Dispatch.model_validate({"filters": asked}))
    return frozenset(key for key in _ALL_KEYS if wanted.is_met(key, Action.CREATED, 1))


def objects(places: tuple[StorageIO, ...], filters: _Filters = ((), (), ())) -> set[tuple[str, bytes]]:
    found = ((each.bucket, _keys_of((each.path, each.prefix, each.suffix), filters)) for each in places)
    return {(bucket, key) for bucket, keys in found for key in keys}


def inputs_of(service: Service) -> set[tuple[str, bytes]]:
    filters = service.dispatch.filters
    return objects(service.input, (filters.prefix, filters.suffix, filters.glob))


def starts_itself(first: Service, services: list[Service]) -> bool:
    """Let every script write every object it may, start what that starts, and see whether the first starts again."""
    started: set[str] = set()
    running = [first]
    while running:
        written = objects(running.pop().output)
        for each in services:
            if each.name not in started and written & inputs_of(each):
                started.add(each.name)
                running.append(each)
    return first.name in started


@given(places=st.lists(st.tuples(_loop_places, _loop_places, _loop_filters), min_size=1, max_size=3))
def test_a_loop_is_found_exactly_if_running_the_services_comes_round(
    places: list[tuple[list[StorageIO], list[StorageIO], dict[str, Any]]],
) -> None:
    services = [
        service(f"s{number}", inputs, outputs, filters=filters)
        for number, (inputs, outputs, filters) in enumerate(places)
    ]
    found = find_loop(services)
    assert (found is not None) == any(starts_itself(each, services) for each in services)
    if found:
        by_name = {each.name: each for each in services}
        assert found[0] == found[-1]
        for name, follower in pairwise(found):
            assert objects(by_name[name].output) & inputs_of(by_name[follower])


@given(places=st.lists(st.tuples(_loop_places, _loop_places, _loop_globs), min_size=1, max_size=3))
def test_a_loop_is_never_missed_whatever_the_globs(
    places: list[tuple[list[StorageIO], list[StorageIO], list[str]]],
) -> None:
    services = [
        service(f"s{number}", inputs, outputs, filters={"glob": globs})
        for number, (inputs, outputs, globs) in enumerate(places)
    ]
    if any(starts_itself(each, services) for each in services):
        assert find_loop(services) is not None
