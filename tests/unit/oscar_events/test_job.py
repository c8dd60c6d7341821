"""The job document and the report survive their way, and refuse what is none."""

from __future__ import annotations

import msgspec
import pytest

from oscar_events.errors import ConfigurationError
from oscar_events.job import (
    FailureClass,
    InputObject,
    Job,
    Outcome,
    Output,
    OutputObject,
    Report,
    decode_job,
    decode_report,
    encode,
)

JOB = Job(
    instance="instance",
    execution="execution",
    attempt=2,
    nonce="nonce",
    tenant="tenant",
    service="service",
    script="echo 'caf\u00e9'\n",
    event=b'{"raw": "\xff\\u0000"}',
    event_id="id",
    event_time="2026-01-02T03:04:05Z",
    timeout_s=1.5,
    input=InputObject(provider="p", bucket="b", key=b"\xff\0/a", size=0, modified_ns=1),
    outputs=(Output(provider="p", bucket="b", folder="f", prefix=("a",), suffix=("b", "c")),),
    storage={"p": {"type": "local", "root": "/r"}},
    environment={"A": "1", "B": "2"},
)
REPORT = Report(
    execution="execution",
    attempt=2,
    nonce="nonce",
    outcome=Outcome.FAILED,
    failure=FailureClass.USER,
    reason="r",
    exit_code=3,
    started_at=1.0,
    ended_at=2.0,
    outputs=(OutputObject(provider="p", bucket="b", key="k", size=1),),
)


def test_a_job_arrives_as_it_was_sent_bytes_included() -> None:
    assert decode_job(encode(JOB)) == JOB


def test_a_report_arrives_as_it_was_sent() -> None:
    assert decode_report(encode(REPORT)) == REPORT


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"execution": 1}', encode(JOB)[:-1], b'{"execution": "\xff"}', b'{"a":' * 200_000],
)
def test_what_is_no_document_is_refused_by_its_name(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match="not a job document"):
        decode_job(data)
    with pytest.raises(ConfigurationError, match="not a report document"):
        decode_report(data)


def test_the_order_of_variables_does_not_change_a_specification_and_a_value_does() -> None:
    swapped = msgspec.structs.replace(JOB, environment={"B": "2", "A": "1"})
    assert swapped.spec_hash() == JOB.spec_hash()
    assert msgspec.structs.replace(JOB, environment={"A": "1", "B": "3"}).spec_hash() != JOB.spec_hash()
    assert msgspec.structs.replace(JOB, attempt=3).spec_hash() != JOB.spec_hash()
