"""What is no event is kept: its beginning, and enough to recognise the rest."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec
import pytest

from oscar_events.quarantine import KEPT_BYTES, Refused, quarantine_record

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)


@pytest.mark.parametrize("body", [b"", b"no event", bytes(range(256)), b"x" * KEPT_BYTES, b"x" * (KEPT_BYTES + 1)])
def test_the_beginning_is_kept_with_length_hash_and_reason(body: bytes) -> None:
    refused = msgspec.json.decode(quarantine_record(body, "bucket pics", "it is no JSON", NOW).value, type=Refused)
    assert refused.body == body[: 256 * 1024]
    assert refused.length == len(body)
    assert refused.sha256 == hashlib.sha256(body).hexdigest()
    assert (refused.source, refused.reason) == ("bucket pics", "it is no JSON")
    assert refused.time.startswith("2026-01-02T03:04:05.678")


def test_the_same_bytes_have_the_same_key_and_other_bytes_another() -> None:
    records = [
        quarantine_record(body, source, "reason", NOW) for body, source in [(b"a", "x"), (b"a", "y"), (b"b", "x")]
    ]
    assert records[0].key == records[1].key != records[2].key
    assert records[0].timestamp_ms == 1_767_323_045_678
