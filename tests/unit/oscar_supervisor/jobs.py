"""Jobs for the tests of the supervisor, one place for what all of them need."""

from __future__ import annotations

from typing import Any

from oscar_events.job import Job


def job(script: str = "true", **fields: Any) -> Job:
    """Return a job with this script; other fields as given."""
    return Job(
        **{
            "instance": "instance",
            "execution": "execution",
            "attempt": 1,
            "nonce": "nonce",
            "tenant": "tenant",
            "service": "service",
            "script": script,
            "event": b'{"Records": []}',
            "event_id": "event",
            "event_time": "2026-01-02T03:04:05Z",
            "timeout_s": 60.0,
            **fields,
        }
    )
