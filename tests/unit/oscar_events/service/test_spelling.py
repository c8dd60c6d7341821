"""Files come in the spelling of whoever wrote them; what that changes is told, with the place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.errors import ServiceError
from oscar_events.mistakes import Loc
from oscar_events.service import Service, respelled, unknown_keys
from tests.unit.oscar_events.service.mending import BLUR


def read(**fields: Any) -> Service:
    return Service.from_document({**BLUR, **fields})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"Environment": {"Variables": {"Path": "x"}}}, {"environment": {"variables": {"Path": "x"}}}),
        ({"LOG_LEVEL": "DEBUG"}, {"log_level": "DEBUG"}),
        (
            {"Input": [{"Storage_Provider": "local", "PATH": "/pics/in/"}]},
            {"input": [{"storage_provider": "local.default", "path": "pics/in"}]},
        ),
        ({"clusters": {"My-One": {"Endpoint": "e"}}}, {"clusters": {"My-One": {"endpoint": "e"}}}),
        (
            {"storage_providers": {"MinIO": {"Site": {"Access_Key": "k"}}}},
            {"storage_providers": {"minio": {"Site": {"access_key": "k"}}}},
        ),
        ({"expose": {"API_Port": 80, "NODEPORT": "30000"}}, {"expose": {"api_port": [80], "nodePort": [30000]}}),
        ({"image_pull_secrets": "regcred"}, {"image_pull_secrets": ["regcred"]}),
        ({"allowed_users": [" a ", "", "b"]}, {"allowed_users": ["a", "b"]}),
        ({"labels": {"Team": 7}}, {"labels": {"Team": "7"}}),
        ({"environment": {"secrets": {"A": 1}}}, {"environment": {"secrets": {"A": "1"}}}),
        ({"visibility": "Public", "isolation_level": "user"}, {"visibility": "public", "isolation_level": "USER"}),
        ({"federation": {"Members": [{"TYPE": "OSCAR"}]}}, {"federation": {"members": [{"type": "oscar"}]}}),
        ({"replicas": [], "delegation": "", "rescheduler_threshold": 0}, {}),  # as OSCAR 4.0 answers without any
    ],
)
def test_another_spelling_is_the_same_service_and_nothing_to_tell(
    written: dict[str, Any], meant: dict[str, Any]
) -> None:
    assert read(**written) == read(**meant)
    assert respelled(written, Service).told == ()


def test_what_oscar_4_0_had_at_the_top_is_read_where_4_1_has_it_and_told() -> None:
    members = [{"type": "oscar", "cluster_id": "b", "service_name": "blur"}]
    written = {"Replicas": members, "delegation": "static", "rescheduler_threshold": 30}
    assert read(**written) == read(federation={"members": members, "delegation": "static", "rescheduler_threshold": 30})
    told = respelled(written, Service).told
    assert [one.loc for one in told] == [("Replicas",), ("delegation",), ("rescheduler_threshold",)]
    assert told[0].text == "read as federation.members, its place since OSCAR 4.1, which ignores it here"


def test_what_is_in_both_places_counts_where_4_1_has_it() -> None:
    written = {"delegation": "static", "federation": {"delegation": "random", "topology": "star"}}
    federation = read(**written).federation
    assert federation is not None
    assert (federation.delegation, federation.topology) == ("random", "star")
    (told,) = respelled(written, Service).told
    assert told.text == "not read: federation.delegation is there too, as OSCAR 4.1 wants it"


def test_an_old_key_does_not_hide_that_what_4_1_has_in_its_place_is_wrong() -> None:
    with pytest.raises(ServiceError, match=r"^federation: "):
        read(delegation="static", federation="static")


def test_the_port_of_old_files_is_the_first_api_port() -> None:
    written = {"expose": {"Port": 8080}}
    assert read(**written) == read(expose={"api_port": [8080]})
    (told,) = respelled(written, Service).told
    assert (told.loc, told.text) == (("expose", "Port"), "read as api_port, its name in OSCAR")


def test_of_two_spellings_of_one_key_the_later_counts_and_that_is_told() -> None:
    written = {"environment": {"variables": {"A": "1"}, "Variables": {"A": "2"}}}
    assert read(**written).environment.variables == {"A": "2"}
    (told,) = respelled(written, Service).told
    assert told.loc == ("environment", "Variables")


@pytest.mark.parametrize(
    ("loc", "written"),
    [
        (("name",), ("Name",)),
        (("federation", "members", 0, "service_name"), ("replicas", 0, "Service_Name")),
        (("federation", "members", 0, "headers", "X"), ("replicas", 0, "headers", "X")),
        (("federation", "delegation"), ("Delegation",)),
        (("input", 0, "path"), ("input", 0, "PATH")),
        (("expose", "api_port", 0), ("expose", "port", 0)),
        (("storage_providers", "minio", "My", "secret_key"), ("storage_providers", "MINIO", "My", "Secret_Key")),
        (("dispatch", "timeout"), ("dispatch", "timeout")),
    ],
)
def test_it_is_known_where_everything_was_written(loc: Loc, written: Loc) -> None:
    document = {
        "Name": "blur",
        "replicas": [{"type": "oscar", "Service_Name": "x", "headers": {"X": "y"}}],
        "Delegation": "static",
        "input": [{"PATH": "a/b"}],
        "expose": {"port": [80]},
        "storage_providers": {"MINIO": {"My": {"Secret_Key": "k"}}},
        "dispatch": {"timeout": 3},
    }
    assert respelled(document, Service).written_at(loc) == written


def test_our_own_block_is_not_spelled_otherwise() -> None:
    document = {"dispatch": {"Timeout": 3}}
    assert respelled(document, Service).document == document


def test_unknown_keys_are_found_at_every_level_with_what_was_probably_meant() -> None:
    document = {
        **BLUR,
        "memroy": "1Gi",
        "Token": "answered by OSCAR",
        "input": [{"path": "a/b"}, {"path": "a/b", "sufix": "jpg"}],
        "environment": {"variables": {"A": "1"}, "secrts": {}},
        "storage_providers": {"minio": {"site": {"any": "key"}}},  # settings of a provider are not ours to judge
        "labels": {"any": "key"},
        "clusters": {"any": {"endpont": "x"}},
        "federation": {"members": [{"zzz": 1}]},
        "dispatch": {"timeuot": 3},  # an error, so no warning beside it
    }
    assert [(one.loc, one.meant) for one in unknown_keys(document, Service)] == [
        (("memroy",), "memory"),
        (("input", 1, "sufix"), "suffix"),
        (("environment", "secrts"), "secrets"),
        (("clusters", "any", "endpont"), "endpoint"),
        (("federation", "members", 0, "zzz"), None),
    ]


_keys = st.sampled_from(
    [*Service.model_fields, "Replicas", "replicas", "members", "Members", "Port", "port", "Variables", "minio", "MinIO"]
) | st.text(max_size=3)
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 99_999) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_keys, _json, max_size=6))
def test_any_document_can_be_respelled_and_doing_it_twice_changes_nothing(document: dict[str, Any]) -> None:
    before = json.dumps(document)
    once = respelled(document, Service)
    assert json.dumps(document) == before
    assert respelled(once.document, Service).document == once.document
    for unknown in unknown_keys(once.document, Service):
        value: Any = document
        for part in once.written_at(unknown.loc):
            value = value[part]
