"""An event that another oscar-events sends on keeps its facts and loses its authority."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from oscar_events import codec
from oscar_events.errors import EventError
from oscar_events.event import MAX_HOPS
from tests.unit.oscar_events.notifications.arriving import KEY, RECEIVED, arrive, only_event, refused, sample

ORIGINAL = replace(
    only_event(sample("docs-minio-ObjectCreated-Put")),
    provider="minio.far",
    tenant="them",
    service="theirs",
    service_uids=("uid",),
    file_id="1",
    modified_ns=1,
    hop_count=3,
)
SENT = json.loads(codec.encode(ORIGINAL).value)


def changed(**data: Any) -> Any:
    return SENT | {"data": SENT["data"] | data}


def test_the_facts_stay_and_identity_and_authority_are_the_routes() -> None:
    event = only_event(SENT)
    assert (event.bucket, event.key, event.etag, event.size) == ("in", KEY, ORIGINAL.etag, 5)
    assert (event.provider, event.tenant, event.service) == ("minio.default", "alice", None)
    assert (event.service_uids, event.file_id, event.modified_ns) == ((), None, None)
    assert (event.adapter, event.recorded, event.hop_count) == ("uploads", RECEIVED, 3)
    assert event.source == "s3://minio.default/in"
    assert event.raw == ORIGINAL.raw


def test_its_id_is_computed_so_that_it_cannot_stand_for_another_event() -> None:
    event = only_event(SENT)
    assert event.id != ORIGINAL.id
    assert only_event(SENT).id == event.id
    assert only_event(SENT | {"id": "other"}).id != event.id


def test_a_loop_over_two_platforms_ends() -> None:
    with pytest.raises(EventError, match="a loop of services"):
        arrive(SENT | {"hopcount": MAX_HOPS + 1})


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (changed(action="removed"), r"data\.action"),
        (changed(schema=2), r"data\.schema"),
        (changed(object={"bucket": "..", "key": "a"}), "bucket"),
        (changed(object={"bucket": "in", "key": ""}), "key is empty"),
        (changed(object={"bucket": "in", "key": "a", "size": -1}), "size"),
        (SENT | {"hopcount": -1}, "hopcount"),
        (SENT | {"data": 5}, "envelope"),
    ],
)
def test_a_broken_envelope_is_refused(made: object, reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        arrive(made)


def test_a_text_that_no_database_can_hold_is_refused() -> None:
    assert "NUL" in refused(changed(object={"bucket": "in", "key": "a", "etag": "\0"}))
