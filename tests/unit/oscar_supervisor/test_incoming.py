"""What came in, without its wrappings: the rows of reference/supervisor.md §5 and §14."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_events.errors import EventError
from oscar_supervisor.incoming import unwrap

MINIO = {"Records": [{"eventSource": "minio:s3"}]}
S3 = {"Records": [{"eventSource": "aws:s3"}]}


def written(document: Any) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("document", "storage"),
    [
        (MINIO, "minio"),
        (S3, "s3"),
        ({"Records": [{"eventSource": "ceph:s3"}]}, "s3"),  # OSCAR's supervisor takes it for a message
        ({"Key": "/space/f.txt", "Records": [{"eventSource": "OneTrigger", "objectKey": "f.txt"}]}, "onedata"),
        ({"event": {"name": "image2.jpg", "mask": ["IN_CREATE"]}, "subscription": "https://h/1"}, "webdav.dcache"),
        ({"event_type": "close", "payload": {"scope": "user.jdoe", "name": "d"}}, "rucio.rucio"),
        ({"Records": [{"eventSource": "rucio"}], "payload": {"scope": "s"}}, "rucio"),
        ({"Records": [{"eventSource": "narnia"}]}, None),  # test_parse_event_unknown
        ({"Records": [{"eventSource": "narnia"}, {"eventSource": "minio:s3"}]}, "minio"),  # OSCAR sees the first only
        ({"Records": []}, None),
        ({"Records": {"eventSource": "minio:s3"}}, None),
        ({"Records": [1, 2]}, None),
        ({"event_type": "close"}, None),  # OSCAR's supervisor crashes: no payload
        ({"a": 1}, None),
        ([1, 2], None),  # and at these: no object
        (7, None),
        (None, None),
        (True, None),
        ("text", None),
    ],
)
def test_the_storage_is_told_by_the_form_of_the_event(document: Any, storage: str | None) -> None:
    incoming = unwrap(written(document))
    assert (incoming.storage, incoming.body) == (storage, written(document))


@pytest.mark.parametrize("body", [b"", b"no JSON", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b'{"event":'])
def test_what_is_no_json_is_a_message_as_it_is(body: bytes) -> None:
    incoming = unwrap(body)
    assert (incoming.storage, incoming.body) == (None, body)


@pytest.mark.parametrize("inner", [MINIO, json.dumps(MINIO)])
@pytest.mark.parametrize("provider", ["cluster2", "minio.cluster2"])
def test_a_delegated_event_is_the_inner_one_from_the_named_provider(inner: Any, provider: str) -> None:
    incoming = unwrap(written({"storage_provider": provider, "event": inner}))
    assert (incoming.storage, incoming.provider, json.loads(incoming.body)) == ("minio", provider, MINIO)


def test_any_document_with_an_event_in_it_is_unwrapped() -> None:
    assert unwrap(b'{"event": {"spaces":   "stay"}}').body == b'{"spaces":   "stay"}'
    assert unwrap(b'{"event": "text"}').body == b"text"
    assert unwrap(b'{"event": null}').body == b""


@pytest.mark.parametrize("body", [S3, json.dumps(S3)])
def test_a_gateways_body_is_the_event(body: Any) -> None:
    incoming = unwrap(written({"httpMethod": "POST", "headers": {}, "body": body}))
    assert (incoming.storage, json.loads(incoming.body)) == ("s3", S3)


def test_a_gateways_body_may_be_a_delegated_event() -> None:
    delegated = {"storage_provider": "cluster2", "event": json.dumps(MINIO)}
    incoming = unwrap(written({"httpMethod": "POST", "body": json.dumps(delegated)}))
    assert (incoming.storage, incoming.provider) == ("minio", "cluster2")


def test_a_gateways_parameters_are_kept_and_empty_ones_are_not() -> None:
    query = {"q1": "v1", "q2": "v2", "empty": "", "": "nameless", "number": 3}
    incoming = unwrap(written({"httpMethod": "GET", "queryStringParameters": query, "body": "plain"}))
    assert incoming.parameters == {"q1": "v1", "q2": "v2"}
    assert (incoming.storage, incoming.body) == (None, b"plain")
    assert unwrap(written({"httpMethod": "GET", "queryStringParameters": None, "body": None})).body == b""


def test_a_gateways_base64_is_decoded_if_it_says_so() -> None:
    picture = b"\x89PNG\r\n"
    document = {"httpMethod": "POST", "body": base64.b64encode(picture).decode(), "isBase64Encoded": True}
    assert unwrap(written(document)).body == picture
    assert unwrap(written({**document, "isBase64Encoded": False})).body == base64.b64encode(picture)
    with pytest.raises(EventError, match="isBase64Encoded"):
        unwrap(written({**document, "body": "?"}))


def test_a_document_that_wraps_itself_again_and_again_ends_as_a_message() -> None:
    body: Any = "innermost"
    for _ in range(50):
        body = {"event": body}
    assert unwrap(written(body)).storage is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["minio:s3", "rucio"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "event",
                    "Records",
                    "eventSource",
                    "httpMethod",
                    "body",
                    "payload",
                    "event_type",
                    "scope",
                    "subscription",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_json.map(written) | st.binary(max_size=50))
def test_nothing_that_comes_in_breaks_it(body: bytes) -> None:
    incoming = unwrap(body)
    assert isinstance(incoming.body, bytes)
