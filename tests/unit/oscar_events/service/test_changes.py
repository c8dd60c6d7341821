"""What is wrong comes with the change that mends it, wherever one can be known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.mistakes import Loc, Remove, Rename, Write
from oscar_events.service import Service
from tests.unit.oscar_events.service.mending import BLUR, proposed

KSERVE = {"type": "llm_inference", "storage_uri": "hf://model"}


def place(**fields: Any) -> dict[str, Any]:
    return {"storage_provider": "local", "path": "pics/in", **fields}


@pytest.mark.parametrize(
    ("fields", "loc", "value"),
    [
        ({"name": "Blur Images!"}, ("name",), "blur-images"),
        ({"name": "2-blur"}, ("name",), "blur"),
        ({"name": "a" * 50}, ("name",), "a" * 39),
        ({"memory": "256MB"}, ("memory",), "256M"),
        ({"memory": "1g"}, ("memory",), "1G"),
        ({"memory": "1,5 GiB"}, ("memory",), "1.5Gi"),
        ({"memory": "512 mb"}, ("memory",), "512M"),
        ({"memory": "100 bytes"}, ("memory",), "100"),
        ({"cpu": "2 cores"}, ("cpu",), "2"),
        ({"cpu": "500 m"}, ("cpu",), "500m"),
        ({"cpu": "0,5"}, ("cpu",), "0.5"),
        ({"visibility": "publc"}, ("visibility",), "public"),
        ({"isolation_level": "users"}, ("isolation_level",), "USER"),
        ({"expose": {"api_port": 70000}}, ("expose", "api_port", 0), 65535),
        ({"expose": {"api_port": [80, 81], "nodePort": 30000}}, ("expose", "nodePort"), [30000, 0]),
        ({"expose": {"min_scale": 3, "max_scale": 2}}, ("expose", "max_scale"), 3),
        ({"kserve": {**KSERVE, "min_scale": 2}}, ("kserve", "max_scale"), 2),  # beside the default, 1
        ({"synchronous": {"min_scale": -1}}, ("synchronous", "min_scale"), 0),
        ({"volume": {"size": "1Gi", "mount_path": "data"}}, ("volume", "mount_path"), "/data"),
        ({"volume": {"name": "My_Data", "mount_path": "/d"}}, ("volume", "name"), "my-data"),
        ({"input": [place(storage_provider="minio.")]}, ("input", 0, "storage_provider"), "minio.default"),
        ({"input": [place(path="pics//in/./x")]}, ("input", 0, "path"), "pics/in/x"),
        ({"input": [place(path=".trash/in")]}, ("input", 0, "path"), "trash/in"),
        ({"input": [place(storage_provider="s3", path="My Pics/in")]}, ("input", 0, "path"), "my-pics/in"),
        ({"dispatch": {"timeout": "5 weeks"}}, ("dispatch", "timeout"), "35d"),
        ({"dispatch": {"timeout": "10 min"}}, ("dispatch", "timeout"), "10m"),
        ({"dispatch": {"timeout": "1,5 hours"}}, ("dispatch", "timeout"), "1.5h"),
        ({"dispatch": {"timeout": "1h30m"}}, ("dispatch", "timeout"), "5400s"),
        ({"dispatch": {"timeout": "2 min, 5 sec."}}, ("dispatch", "timeout"), "125s"),
        ({"dispatch": {"retry": {"backoff": "-10s"}}}, ("dispatch", "retry", "backoff"), "10s"),
        ({"dispatch": {"retry": {"max_age": -5}}}, ("dispatch", "retry", "max_age"), "5"),
        ({"dispatch": {"timeout": "2000d"}}, ("dispatch", "timeout"), "366d"),
        ({"dispatch": {"concurrency": 0}}, ("dispatch", "concurrency"), 1),
        ({"dispatch": {"event_types": "deleted"}}, ("dispatch", "event_types", 0), None),  # another word, not misspelt
        ({"dispatch": {"event_types": "create"}}, ("dispatch", "event_types", 0), "created"),
        ({"dispatch": {"backend": "kubernets"}}, ("dispatch", "backend"), "kubernetes"),
        ({"dispatch": {"filters": {"size": {"min": "10 MB"}}}}, ("dispatch", "filters", "size", "min"), "10M"),
        ({"dispatch": {"timeout": "soon"}}, ("dispatch", "timeout"), None),  # nobody knows
        ({"dispatch": {"timeout": "3 months"}}, ("dispatch", "timeout"), None),  # m is no month
        ({"dispatch": {"timeout": "500 ms"}}, ("dispatch", "timeout"), None),
        ({"dispatch": {"timeout": "-0s"}}, ("dispatch", "timeout"), None),
        ({"dispatch": {"timeout": "1h2"}}, ("dispatch", "timeout"), None),
        ({"dispatch": {"timeout": "9" * 100 + " weeks"}}, ("dispatch", "timeout"), None),
        ({"dispatch": {"timeout": True}}, ("dispatch", "timeout"), None),
        ({"memory": "lots"}, ("memory",), None),
        ({"memory": "1 parsec"}, ("memory",), None),
        ({"input": [place(path="pics/../x")]}, ("input", 0, "path"), "x"),
        ({"input": [place(path="../pics/in")]}, ("input", 0, "path"), "pics/in"),
        ({"input": [place(path="pics/..")]}, ("input", 0, "path"), None),  # nothing is left
    ],
)
def test_the_change_is_the_nearest_that_is_right(fields: dict[str, Any], loc: Loc, value: object) -> None:
    assert proposed(**fields) == {loc: None if value is None else Write(value)}


def test_bounds_the_wrong_way_round_are_turned() -> None:
    size = {"min": "2k", "max": "1k"}
    turned = {("dispatch", "filters", "size"): Write({"min": 1000, "max": 2000})}
    assert proposed(dispatch={"filters": {"size": size}}) == turned


def test_what_must_not_be_there_is_removed() -> None:
    volume = {"name": "a", "mount_path": "/d", "lifecycle_policy": "retain"}
    assert proposed(volume=volume) == {("volume", "lifecycle_policy"): Remove()}
    assert proposed(dispatch={"timeout": 0}) == {("dispatch", "timeout"): Remove()}
    assert proposed(dispatch={"event_types": []}) == {("dispatch", "event_types"): Remove()}
    assert proposed(expose={"nodePort": 30000}) == {("expose", "nodePort"): Remove()}


def test_a_variable_that_no_environment_can_hold_is_named() -> None:
    environment = {"variables": {"A=B": 1, "": 2}, "secrets": {"=": "x", "C": "\0"}}
    assert proposed(environment=environment) == {
        ("environment", "variables", "A=B", "[key]"): Rename("A_B"),
        ("environment", "variables", "", "[key]"): None,
        ("environment", "secrets", "=", "[key]"): None,
        ("environment", "secrets", "C"): None,
    }


@given(
    field=st.sampled_from(["name", "memory", "cpu", "visibility", "timeout", "path", "s3"]),
    text=st.text(st.characters(codec="utf-8"), max_size=12) | st.from_regex(r"[0-9]{1,3}[.,]?[0-9]? ?[A-Za-z]{0,3}"),
)
def test_a_change_is_never_wrong_itself(field: str, text: str) -> None:
    def with_value(value: object) -> dict[str, Any]:
        if field == "timeout":
            return {**BLUR, "dispatch": {"timeout": value}}
        if field in ("path", "s3"):
            return {**BLUR, "input": [place(path=value, storage_provider="s3" if field == "s3" else "local")]}
        return {**BLUR, field: value}

    try:
        Service.model_validate(with_value(text))
    except ValueError:
        changes = proposed(**with_value(text))
        for change in changes.values():
            if isinstance(change, Write):
                Service.model_validate(with_value(change.value))
