"""Which services an object starts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.event import Action
from oscar_events.matching import ActiveService, Match, MatchIndex, explain
from oscar_events.matching.globs import Glob
from oscar_events.service import StorageIO
from tests.unit.oscar_events.matching.making import place, service


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


def seen(entry: ActiveService, key: bytes, action: Action = Action.CREATED, size: int | None = None) -> list[str]:
    return explain(entry, "t", "local.default", "pics", key, action, size)


@pytest.mark.parametrize(
    ("dispatch", "action", "starts"),
    [
        ({}, Action.CREATED, True),
        ({}, Action.REMOVED, False),  # OSCAR knows nothing else, so a file of OSCAR's must not start for anything else
        ({"event_types": "removed"}, Action.REMOVED, True),
        ({"event_types": ["removed"]}, Action.CREATED, False),
        ({"event_types": ["created", "restored"]}, Action.RESTORED, True),
        ({"event_types": ["updated"]}, Action.UPDATED, True),
        ({"event_types": ["created", "removed", "updated", "restored"]}, Action.RECEIVED, False),  # speaks of no object
    ],
)
def test_a_service_says_what_must_have_happened_to_an_object(
    dispatch: dict[str, object], action: Action, starts: bool
) -> None:
    entry = ActiveService("u1", "t", service("blur", [place("pics/in")], **dispatch))
    found = MatchIndex([entry]).match("t", "local.default", "pics", b"in/a.png", action)
    assert found == ([Match("u1", 0)] if starts else [])


@pytest.mark.parametrize(
    ("filters", "key", "size", "starts"),
    [
        ({"prefix": ["raw-"]}, b"in/raw-1.png", 1, True),
        ({"prefix": ["raw-"]}, b"in/done-1.png", 1, False),
        ({"prefix": ["in/"]}, b"in/raw-1.png", 1, False),  # relative to the folder, as the input's own
        ({"suffix": ".png"}, b"in/a.png", 1, True),
        ({"suffix": ".png"}, b"in/a.jpg", 1, False),
        ({"glob": "*.png"}, b"in/a.png", 1, True),
        ({"glob": "*.png"}, b"in/sub/a.png", 1, False),
        ({"glob": ["*.jpg", "**/*.png"]}, b"in/sub/a.png", 1, True),  # OR within a list
        ({"glob": "*.png", "prefix": "b"}, b"in/a.png", 1, False),  # AND between them
        ({"size": {"min": 10}}, b"in/a.png", 10, True),
        ({"size": {"min": 10}}, b"in/a.png", 9, False),
        ({"size": {"max": "1Ki"}}, b"in/a.png", 1024, True),
        ({"size": {"max": "1Ki"}}, b"in/a.png", 1025, False),
        ({"size": {"max": 0}}, b"in/a.png", 0, True),
        ({"size": {"min": 0}}, b"in/a.png", None, False),  # what is not known is not within bounds
    ],
)
def test_a_service_filters_what_its_inputs_cover(
    filters: dict[str, object], key: bytes, size: int | None, starts: bool
) -> None:
    entry = ActiveService("u1", "t", service("blur", [place("pics/in")], filters=filters))
    found = MatchIndex([entry]).match("t", "local.default", "pics", key, size=size)
    assert found == ([Match("u1", 0)] if starts else [])
    assert [told == "" for told in seen(entry, key, size=size)] == [starts]


def test_filters_are_relative_to_the_input_that_is_met() -> None:
    inputs = [place("pics/in"), place("pics/in/sub")]
    entry = ActiveService("u1", "t", service("blur", inputs, filters={"glob": "*.png"}))
    index = MatchIndex([entry])
    assert index.match("t", "local.default", "pics", b"in/a.png") == [Match("u1", 0)]
    assert index.match("t", "local.default", "pics", b"in/sub/a.png") == [Match("u1", 1)]


@pytest.mark.parametrize(
    ("dispatch", "where", "told"),
    [
        ({}, {"tenant": "u"}, "the service is tenant t's, the event u's"),
        ({}, {"provider": "s3.x"}, "storage local.default is watched, the event is of s3.x"),
        ({}, {"bucket": "music"}, "bucket pics is watched, the object is in music"),
        ({}, {"key": b"out/a.png"}, "the key 'out/a.png' is not below folder 'in/'"),
        ({}, {"key": b"in/"}, "the key 'in/' is not below folder 'in/'"),
        ({}, {"key": b"out/\xff"}, "the key 'out/\\\\xff' is not below folder 'in/'"),
        ({}, {"action": Action.REMOVED}, "event type removed is not among those wanted: created"),
        ({}, {"action": Action.RECEIVED}, "a message without an object meets no input; its source names"),
        ({}, {"key": b"in/b.png"}, "prefix 'a' is wanted, the key below the folder is 'b.png'"),
        ({}, {"key": b"in/a.jpg"}, "suffix '.png' or '.gif' is wanted, the key below the folder is 'a.jpg'"),
        ({"filters": {"prefix": "ab"}}, {}, "prefix 'ab' is wanted, the key below the folder is 'a.png'"),
        ({"filters": {"suffix": "b.png"}}, {}, "suffix 'b.png' is wanted, the key below the folder is 'a.png'"),
        ({"filters": {"glob": "?b*"}}, {}, "a key like '?b*' is wanted, below the folder it is 'a.png'"),
        ({"filters": {"size": {"min": 5}}}, {"size": 4}, "a size of at least 5 bytes is wanted, it is 4"),
        ({"filters": {"size": {"max": 5}}}, {"size": 6}, "a size of at most 5 bytes is wanted, it is 6"),
        ({"filters": {"size": {"max": 5}}}, {}, "the event does not tell the size"),
        ({}, {}, ""),
    ],
)
def test_the_first_condition_that_failed_is_told_with_what_was_there(
    dispatch: dict[str, object], where: dict[str, object], told: str
) -> None:
    watched = place("pics/in", prefix=("a",), suffix=(".png", ".gif"))
    entry = ActiveService("u1", "t", service("blur", [watched], **dispatch))
    asked = {"tenant": "t", "provider": "local.default", "bucket": "pics", "key": b"in/a.png", **where}
    (answer,) = explain(entry, **asked)  # type: ignore[arg-type]
    assert told in answer
    assert bool(told) == bool(answer)


def test_a_service_without_inputs_has_nothing_to_explain() -> None:
    assert seen(ActiveService("u1", "t", service("blur")), b"in/a.png") == []


def test_explaining_knows_the_aliases() -> None:
    entry = ActiveService("u1", "t", service("blur", [place("pics/in", provider="minio")]))
    asked = (entry, "t", "local.default", "pics", b"in/a", Action.CREATED, None)
    assert explain(*asked) != [""]
    assert explain(*asked, {"minio.default": "local.default"}) == [""]


_PROVIDERS = ["local.default", "minio.default", "s3.default"]
_ALIASES = {"minio.default": "local.default"}
_paths = st.sampled_from(["pics", "pics/a", "pics/a/a", "pics/a/\u00e9", "music/a"])
_affixes = st.lists(st.sampled_from(["a", "a/", "ab", "\u00e9", ""]), max_size=2).map(tuple)
_inputs = st.builds(place, _paths, _affixes, _affixes, st.sampled_from(_PROVIDERS))
_below = st.sampled_from([b"", b"/", b"a/", b"a/a/", b"a/\xc3\xa9/"])
_dispatch = st.fixed_dictionaries(
    {},
    optional={
        "event_types": st.lists(st.sampled_from(["created", "removed", "updated", "restored"]), min_size=1),
        "filters": st.fixed_dictionaries(
            {},
            optional={
                "prefix": _affixes,
                "suffix": _affixes,
                "glob": st.lists(st.sampled_from(["a", "*", "?/*", "**/a", "[aé]*"]), max_size=2),
                "size": st.fixed_dictionaries({}, optional={"min": st.integers(0, 3), "max": st.integers(3, 5)}),
            },
        ),
    },
)
_names = st.lists(st.sampled_from([b"a", b"b", b"/", b"\xc3", b"\xa9", b"\xff"]), max_size=5).map(b"".join)
_keys = st.builds(bytes.__add__, _below, _names)


def matches_naively(
    entries: list[ActiveService], provider: str, bucket: str, key: bytes, action: Action, size: int | None
) -> list[Match]:
    """Ask every input of every service; the specification MatchIndex has to be as good as."""
    found = []
    for entry in entries:
        for index, watched in enumerate(entry.service.input):
            inside = f"{watched.folder}/".encode() if watched.folder else b""
            rest = key.removeprefix(inside)
            dispatch = entry.service.dispatch
            filters = dispatch.filters
            bounds = filters.size
            if (
                entry.tenant == "t"
                and _ALIASES.get(watched.storage_provider, watched.storage_provider) == _ALIASES.get(provider, provider)
                and watched.bucket == bucket
                and key.startswith(inside)
                and rest
                and action.value in dispatch.event_types
                and all(
                    not texts or any(rest.startswith(text.encode()) for text in texts)
                    for texts in (watched.prefix, filters.prefix)
                )
                and all(
                    not texts or any(rest.endswith(text.encode()) for text in texts)
                    for texts in (watched.suffix, filters.suffix)
                )
                and (not filters.glob or any(Glob.of(text).meets(rest) for text in filters.glob))
                and (bounds.min is None or (size is not None and size >= bounds.min))
                and (bounds.max is None or (size is not None and size <= bounds.max))
            ):
                found.append(Match(entry.uid, index))
                break
    return sorted(found)


@given(
    services=st.lists(st.tuples(st.sampled_from("tu"), st.lists(_inputs, max_size=3), _dispatch), max_size=6),
    provider=st.sampled_from(_PROVIDERS),
    bucket=st.sampled_from(["pics", "music", "none"]),
    key=_keys,
    action=st.sampled_from(list(Action)),
    size=st.none() | st.integers(0, 6),
)
def test_the_index_finds_what_asking_every_service_finds_and_explains_it(
    services: list[tuple[str, list[StorageIO], dict[str, object]]],
    provider: str,
    bucket: str,
    key: bytes,
    action: Action,
    size: int | None,
) -> None:
    entries = [
        ActiveService(f"u{number}", tenant, service("blur", inputs, **dispatch))
        for number, (tenant, inputs, dispatch) in enumerate(services)
    ]
    found = MatchIndex(entries, _ALIASES).match("t", provider, bucket, key, action, size)
    assert found == matches_naively(entries, provider, bucket, key, action, size)
    told = {one.uid: explain(one, "t", provider, bucket, key, action, size, _ALIASES) for one in entries}
    assert found == sorted(Match(uid, said.index("")) for uid, said in told.items() if "" in said)
