"""What the AsyncAPI document says of a message is what is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from oscar_events.bus.kafka_messages import MODELS, QuarantineMessage, RunMessage, StorageEventMessage
from oscar_events.bus.port import TOPICS
from oscar_events.codec import decode, encode
from oscar_events.ledger.runs import RUN_COLUMNS, view
from oscar_events.quarantine import quarantine_record

SAMPLE = Path(__file__).parents[3] / "data" / "events" / "storage-object-v1.json"


def unknown(model: type[BaseModel], value: Any, at: str = "") -> list[str]:
    """Return the fields of the value that the model does not have."""
    fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    missing = [f"{at}{name}" for name in value if name not in fields]
    for name, annotation in fields.items():
        inner = value.get(name)
        if isinstance(inner, dict) and isinstance(annotation, type) and issubclass(annotation, BaseModel):
            missing += unknown(annotation, inner, f"{at}{name}.")
    return missing


def test_every_channel_of_ours_has_a_model() -> None:
    assert MODELS.keys() == set(TOPICS)


@pytest.mark.parametrize("value", [SAMPLE.read_bytes(), encode(decode(SAMPLE.read_bytes())).value])
def test_a_storage_event_is_as_described(value: bytes) -> None:
    StorageEventMessage.model_validate_json(value)
    assert unknown(StorageEventMessage, json.loads(value)) == []


def test_a_quarantined_record_is_as_described() -> None:
    record = quarantine_record(b"\x00no event", "minio", "no JSON", datetime(2026, 1, 2, tzinfo=UTC), {"a": "b"})
    assert QuarantineMessage.model_validate_json(record.value).body == b"\x00no event"
    assert unknown(QuarantineMessage, json.loads(record.value)) == []


def test_a_run_is_as_described() -> None:
    class Row:
        """A row in which everything is NULL that may be."""

        def __getattr__(self, name: str) -> Any:
            assert name in {column.name for column in RUN_COLUMNS}
            texts = {"id", "service", "tenant", "state", "event_id", "subject"}
            return "x" if name in texts else 1 if name in ("attempt", "created_at") else None

    row: Any = Row()
    shown = view(row)
    RunMessage.model_validate(shown)
    assert shown.keys() == RunMessage.model_fields.keys()
