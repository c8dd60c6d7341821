"""Whatever comes in, it is events, reasons, or one error that says what is wrong; and each event survives the bus."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscar_events import codec
from oscar_events.errors import EventError
from oscar_events.event import Action, Raw
from oscar_events.notifications.port import Normalised
from oscar_events.paths import local_name
from tests.unit.oscar_events.notifications.arriving import ROUTE, SAMPLES, arrive, document
from tests.unit.oscar_events.notifications.test_flowfile import VECTOR

OPEN_ROUTE = replace(ROUTE, service="plants", directory="/data/in")
BODIES = {path.stem: document(path.stem) for path in sorted(SAMPLES.glob("*.json")) if ".meta" not in path.name}
HEADERS = [
    {},
    {"content-type": "application/json"},
    {"content-type": "application/cloudevents+json"},
    {"content-type": "application/cloudevents-batch+json"},
    {"content-type": "application/flowfile-v3"},
    {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/a", "ce-type": "com.amazonaws.ObjectCreated:Put"},
    {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/a", "ce_type": "x", "content-type": "application/json"},
]

texts = st.sampled_from(
    [
        "",
        "..",
        "../../etc/passwd",
        "/abs",
        "a//b",
        "%00",
        "%E9",
        "a\0b",
        "null",
        "-1",
        "1e9",
        "é",
        "in",
        "x" * 1100,
        "\ud800",
    ]
) | st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def looked_at(body: bytes, headers: dict[str, str]) -> Normalised | str:
    """What the body comes to, or why not; nothing else may come out, and what does is fit for the bus."""
    try:
        result = arrive(body, OPEN_ROUTE, **headers)
    except EventError as error:
        return str(error)
    for event in result.events:
        assert codec.decode(codec.encode(event).value) == event
        assert (event.provider, event.tenant, event.service) == ("minio.default", "alice", "plants")
        assert b"/" not in local_name(event.key)
        assert local_name(event.key) not in (b"", b".", b"..")
        assert event.bucket not in ("", ".", "..")
        assert "\\u0000" not in json.dumps(asdict(replace(event, raw=Raw(b"", event.raw.mediatype))), default=str)
        assert event.action is Action.RECEIVED or "/" not in event.bucket
    return result


@st.composite
def nearly(draw: st.DrawFn, whole: Any) -> Any:
    """A recorded document with one thing in it replaced, taken away or added."""
    made = copy.deepcopy(whole)
    here: Any = made
    while True:
        inside = (
            [name for name, value in here.items() if isinstance(value, dict | list) and value]
            if isinstance(here, dict)
            else [index for index, value in enumerate(here) if isinstance(value, dict | list) and value]
        )
        if not inside or draw(st.integers(0, 3)) == 0:
            break
        here = here[draw(st.sampled_from(inside))]
    if isinstance(here, list):
        here[draw(st.integers(0, len(here) - 1))] = draw(values)
        return made
    name = draw(st.sampled_from(sorted(here)))
    if draw(st.booleans()):
        here[name] = draw(values)
    else:
        del here[name]
        here[draw(texts)] = draw(values)
    return made


@given(st.binary(max_size=200), st.sampled_from(HEADERS))
def test_any_bytes_come_to_something(body: bytes, headers: dict[str, str]) -> None:
    assert looked_at(body, headers) == looked_at(body, headers)


@given(values, st.sampled_from(HEADERS))
def test_any_json_comes_to_something(made: object, headers: dict[str, str]) -> None:
    body = json.dumps(made).encode()
    assert looked_at(body, headers) == looked_at(body, headers)


@pytest.mark.parametrize("name", sorted(BODIES))
@settings(max_examples=25)
@given(st.data())
def test_what_is_nearly_a_format_comes_to_something(name: str, data: st.DataObject) -> None:
    body = json.dumps(data.draw(nearly(BODIES[name]))).encode()
    headers = data.draw(st.sampled_from(HEADERS))
    assert looked_at(body, headers) == looked_at(body, headers)


@given(st.integers(0, len(VECTOR) - 1), st.binary(max_size=8), st.integers(0, 8))
def test_what_is_nearly_a_flowfile_comes_to_something(at: int, put: bytes, cut: int) -> None:
    body = VECTOR[:at] + put + VECTOR[at + cut :]
    assert looked_at(body, {"content-type": "application/flowfile-v3"})


@given(
    st.dictionaries(
        st.sampled_from(["ce-", "ce_"]).flatmap(
            lambda p: st.sampled_from(["id", "source", "type", "specversion", "time", "subject", "x"]).map(
                lambda n: p + n
            )
        ),
        texts | st.just("1.0"),
        max_size=8,
    ),
    st.binary(max_size=20),
)
def test_any_headers_of_cloudevents_come_to_something(headers: dict[str, str], body: bytes) -> None:
    assert looked_at(body, headers) == looked_at(body, headers)


@given(
    values,
    st.sampled_from(
        [
            "com.amazonaws.s3.ObjectCreated:Put",
            "Microsoft.Storage.BlobCreated",
            "google.cloud.storage.object.v1.finalized",
            "oscar.storage.object.created.v1",
            "x",
        ]
    ),
)
def test_any_data_of_a_cloudevent_come_to_something(data: object, kind: str) -> None:
    made = {"specversion": "1.0", "id": "1", "source": "/a", "type": kind, "data": data, "time": "2026-11-21T04:30:27Z"}
    body = json.dumps(made).encode()
    assert looked_at(body, {}) == looked_at(body, {})
