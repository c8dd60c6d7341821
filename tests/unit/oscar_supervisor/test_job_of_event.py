"""Jobs of events: the conformance rows of reference/supervisor.md §14 that can be seen from outside."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oscar_events.errors import ConfigurationError
from oscar_events.job import Job, Output
from oscar_supervisor.environment import speaks_of_object
from oscar_supervisor.incoming import Incoming
from oscar_supervisor.job_of_event import jobs_of, provider_of
from oscar_supervisor.service_facts import Place, ServiceFacts

NOW = datetime(2026, 11, 21, 12, 0, 0, 5000, tzinfo=UTC)
KEYS = {"access_key": "a", "secret_key": "s"}
STORAGE: dict[str, dict[str, Any]] = {
    "minio.default": KEYS,
    "minio.cluster2": {**KEYS, "endpoint": "https://cluster2"},
    "s3.default": KEYS,
    "local.default": {"root": "/buckets"},
}


def service(**fields: Any) -> ServiceFacts:
    return ServiceFacts(**{"name": "plants", "script": "true", "storage": STORAGE, **fields})


def record(key: str, bucket: str = "images", source: str = "minio:s3", name: str = "s3:ObjectCreated:Put") -> Any:
    return {
        "eventVersion": "2.0",
        "eventSource": source,
        "eventTime": "2018-06-29T10:23:44Z",
        "eventName": name,
        "s3": {
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": key, "size": 4, "eTag": "e", "sequencer": "1538F3D3CF4A8C5A"},
        },
    }


def jobs(document: Any, root: Path = Path("/nowhere"), /, **fields: Any) -> tuple[Job, ...]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return jobs_of(body, service(**fields), root, NOW).jobs


def the_job(document: Any, /, **fields: Any) -> Job:
    [job] = jobs(document, **fields)
    return job


def test_an_event_of_minio_is_a_job_for_its_object() -> None:
    document = {"EventName": "s3:ObjectCreated:Put", "Key": "images/a/b c.jpg", "Records": [record("a%2Fb+c.jpg")]}
    job = the_job(document)
    assert job.input is not None
    assert (job.input.provider, job.input.bucket, job.input.key) == ("minio.default", "images", b"a/b c.jpg")
    assert (job.input.size, job.input.etag) == (4, "e")
    assert json.loads(job.event) == document
    assert job.event_time.startswith("2018-06-29T10:23:44")
    assert job.storage["minio.default"] == {"type": "minio", **KEYS}
    assert (job.service, job.timeout_s, job.stage_event) == ("plants", math.inf, False)


def test_an_event_of_s3_is_a_job_for_its_object() -> None:
    job = the_job({"Records": [record("darknet-s3/input/dog.jpg", "darknet-bucket", "aws:s3", "ObjectCreated:Put")]})
    assert job.input is not None
    assert (job.input.provider, job.input.bucket, job.input.key) == (
        "s3.default",
        "darknet-bucket",
        b"darknet-s3/input/dog.jpg",
    )


@pytest.mark.parametrize("named", ["cluster2", "minio.cluster2"])
def test_a_delegated_event_takes_the_named_provider_in_both_spellings(named: str) -> None:
    inner = {"Records": [record("nature-wallpaper-229.jpg")]}
    job = the_job({"storage_provider": named, "event": json.dumps(inner)})
    assert job.input is not None
    assert (job.input.provider, job.input.key) == ("minio.cluster2", b"nature-wallpaper-229.jpg")
    assert job.storage["minio.cluster2"]["endpoint"] == "https://cluster2"


@pytest.mark.parametrize("named", [None, "default", "minio.default"])
def test_a_delegated_event_without_a_name_of_its_own_is_of_the_default(named: str | None) -> None:
    wrapped = {"storage_provider": named, "event": {"Records": [record("a.jpg")]}}
    job = the_job({name: value for name, value in wrapped.items() if value})
    assert job.input is not None
    assert job.input.provider == "minio.default"


@pytest.mark.parametrize(
    ("storage", "named", "inputs", "provider"),
    [
        ("minio", None, [], "minio.default"),
        ("minio", None, ["minio.cluster2"], "minio.cluster2"),  # the service says where the bucket is
        ("minio", None, ["local.default"], "local.default"),  # a laptop: directories' events look like MinIO's
        ("minio", None, ["s3.other"], "minio.default"),
        ("s3", None, ["s3.other"], "s3.other"),
        ("minio", "cluster3", ["minio.cluster2"], "minio.cluster3"),  # a name that came along wins
        ("minio", "good.with.dots", [], "minio.good.with.dots"),
        ("onedata", None, ["local.default"], "onedata.default"),
        ("webdav.dcache", None, ["webdav.other"], "webdav.dcache"),  # OSCAR fixes these two
        ("rucio.rucio", "x", [], "rucio.rucio"),
    ],
)
def test_the_provider_of_an_event(storage: str, named: str | None, inputs: list[str], provider: str) -> None:
    facts = service(inputs=tuple(Place(name, "images") for name in inputs))
    assert provider_of(Incoming(b"", storage, named), storage, facts, "images") == provider
    if named is None:
        elsewhere = provider_of(Incoming(b"", storage), storage, facts, "another bucket")
        assert elsewhere == (storage if "." in storage else f"{storage}.default")


def test_the_provider_is_part_of_the_events_identity() -> None:
    document = {"Records": [record("a.jpg")]}
    of_default = the_job(document)
    of_other = the_job(document, inputs=(Place("minio.cluster2", "images"),))
    assert of_other.input is not None
    assert of_other.input.provider == "minio.cluster2"
    assert of_other.event_id != of_default.event_id
    assert "minio.cluster2" in of_other.event_attributes["source"]


def test_every_record_of_an_event_is_a_job() -> None:
    first, second = jobs({"Records": [record("a.jpg"), record("b.jpg")]})
    assert first.input is not None
    assert second.input is not None
    assert (first.input.key, second.input.key) == (b"a.jpg", b"b.jpg")
    assert first.execution != second.execution
    assert b"b.jpg" not in first.event


def test_nothing_is_fetched_of_a_removed_object_nor_if_the_script_fetches_itself() -> None:
    removed = the_job({"Records": [record("a.jpg", name="s3:ObjectRemoved:Delete")]})
    left = the_job({"Records": [record("a.jpg")]}, stage_in=False)
    for job in (removed, left):
        assert (job.input, job.stage_event) == (None, False)
        assert speaks_of_object(job)
    assert not the_job(b"text", stage_in=False).stage_event


def test_a_folders_marker_starts_nothing() -> None:
    marker = record("folder%2F")
    marker["s3"]["object"]["size"] = 0
    found = jobs_of(json.dumps({"Records": [marker]}).encode(), service(), Path("/"), NOW)
    assert (found.jobs, len(found.ignored)) == ((), 1)


@pytest.mark.parametrize("body", [b"", b"some text", b'{"a":  1}', b'{"Records": [{"eventSource": "narnia"}]}'])
def test_anything_else_is_the_input_file_itself(body: bytes) -> None:
    job = the_job(body)
    assert (job.event, job.input, job.stage_event) == (body, None, True)
    assert not speaks_of_object(job)
    assert job.event_time == "2026-11-21T12:00:00.005Z"


def test_parameters_of_a_gateway_are_variables() -> None:
    query = {"q1": "v1", "q2": "v2"}
    job = the_job({"httpMethod": "GET", "queryStringParameters": query, "body": "x"}, variables={"OWN": "1"})
    assert job.environment == {"OWN": "1", "CONT_VAR_q1": "v1", "CONT_VAR_q2": "v2"}


def test_a_record_nobody_can_read_is_told_and_the_others_are_run() -> None:
    broken = record("a.jpg")
    del broken["s3"]
    found = jobs_of(json.dumps({"Records": [broken, record("b.jpg")]}).encode(), service(), Path("/"), NOW)
    [job] = found.jobs
    [reason] = found.refused
    assert job.input is not None
    assert job.input.key == b"b.jpg"
    assert "s3" in reason


def test_no_script_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="no script to run"):
        jobs(b"", script=None)


def test_a_missing_provider_of_an_output_is_an_error_before_anything_runs() -> None:
    with pytest.raises(ConfigurationError, match=r"minio\.none"):
        jobs(b"", outputs=(Output(provider="minio.none", bucket="out"),))


def test_results_of_a_users_own_bucket_go_into_the_same_one() -> None:
    outputs = (
        Output(provider="minio.default", bucket="shared", folder="out", suffix=("txt",)),
        Output(provider="minio.default", bucket="whole"),  # no folder in it: OSCAR leaves such paths alone
        Output(provider="s3.default", bucket="shared", folder="out"),
    )
    own = frozenset({"alice"})
    in_own = the_job({"Records": [record("a.jpg", "alice")]}, outputs=outputs, own_buckets=own)
    assert in_own.outputs == (
        Output(provider="minio.default", bucket="alice", folder="out", suffix=("txt",)),
        *outputs[1:],
    )
    elsewhere = the_job({"Records": [record("a.jpg", "shared")]}, outputs=outputs, own_buckets=own)
    assert elsewhere.outputs == outputs
