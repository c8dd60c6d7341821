"""What speaks of no object goes, byte for byte, to the service that its route names; under its own name, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oscar_events.errors import EventError
from oscar_events.event import Action
from tests.unit.oscar_events.notifications.arriving import RECEIVED, ROUTE, TO_SERVICE, arrive, only_event, sample


@pytest.mark.parametrize(
    ("body", "said", "mediatype"),
    [
        (b"\x89PNG\0\xff", {"content_type": "image/png"}, "image/png"),
        (b"\xff\0", {}, "application/octet-stream"),
        (b'{ "a" : 1 }', {}, "application/json"),
        (b"[1, 2]", {}, "application/json"),
        (b"plain words", {"content_type": "text/plain; charset=utf-8"}, "text/plain; charset=utf-8"),
        (b"{broken", {}, "application/octet-stream"),
        (sample("nifi-invokehttp-getfile"), {"content_type": "application/octet-stream"}, "application/octet-stream"),
        (sample("docs-nifi-provenance"), {}, "application/json"),
    ],
)
def test_a_message_arrives_as_it_was_sent(body: bytes, said: dict[str, str], mediatype: str) -> None:
    event = only_event(body, TO_SERVICE, **said)
    assert (event.raw.body, event.raw.mediatype) == (body, mediatype)
    assert (event.action, event.kind, event.service) == (Action.RECEIVED, "message", "plants")
    assert (event.bucket, event.source, event.size) == ("uploads", "message://uploads", len(body))
    assert (event.time, event.has_object) == (RECEIVED, False)


def test_a_message_without_a_name_is_an_event_of_its_own() -> None:
    assert only_event(b"x", TO_SERVICE).key == b"fresh"


@pytest.mark.parametrize("header", ["idempotency_key", "x_nifi_uuid", "uuid"])
def test_a_message_told_twice_under_one_name_is_one_event(header: str) -> None:
    first, second = (only_event(body, TO_SERVICE, **{header: "k1"}) for body in (b"x", b"y"))
    assert first.id == second.id
    assert first.key == b"k1"
    assert first.id != only_event(b"x", TO_SERVICE, **{header: "k2"}).id


def test_one_name_at_two_sources_is_two_messages() -> None:
    other = replace(TO_SERVICE, source="other")
    assert only_event(b"x", TO_SERVICE).id != only_event(b"x", other).id


@pytest.mark.parametrize("name", ["", "a" * 256, "a\nb", "\x1b[31m", "a\0"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(EventError, match="1 to 255 printable characters"):
        arrive(b"x", TO_SERVICE, idempotency_key=name)


def test_a_message_that_no_service_waits_for_is_refused() -> None:
    with pytest.raises(EventError, match="for messages the source uploads names no service"):
        arrive(b"x", ROUTE)


def test_an_empty_message_starts_nothing() -> None:
    assert arrive(b"", TO_SERVICE).ignored == ("an empty message",)
