"""What nobody told of, and what was there before: found by listings and by `backfill`, with the real command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.platform import COPY, RunningPlatform, running_platform, until
from tests.testbed.minio import MinioServer


def backfilled(platform: RunningPlatform, *arguments: str) -> dict[str, object]:
    """Return what the command says of the backfill it did."""
    done = platform.ask("backfill", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_files_that_were_there_before_their_service_run_when_it_is_backfilled(platform: RunningPlatform) -> None:
    folder = platform.data / "buckets" / "pics" / "in"
    folder.mkdir(parents=True)
    for name in ("a", "b", "c"):
        (folder / name).write_text(name)
    # What counts is the second: a file and a service of the same one belong together.
    second = _now(platform)
    until(lambda: _now(platform) > second, "a later second")
    platform.apply("copy", COPY)
    platform.drop("d")
    until(lambda: (platform.data / "buckets/pics/out/d").exists(), "what came after it has run")
    assert not (platform.data / "buckets/pics/out/a").exists()

    told = platform.ask("backfill", "copy", "--dry-run").stdout
    assert told == (
        "nothing was done; it would be: 4 objects in the inputs, 4 for the service, 3 new runs, 1 had theirs already\n"
    )
    assert backfilled(platform, "copy", "--prefix", "in/b")["made"] == 1
    until(lambda: (platform.data / "buckets/pics/out/b").exists(), "the one with the prefix")
    assert backfilled(platform, "copy", "--rate", "1/s")["made"] == 2
    until(lambda: len(platform.runs("--state", "succeeded")) == 4, "all have run")
    assert backfilled(platform, "copy")["made"] == 0

    platform.stop()
    assert backfilled(platform, "copy", "--as-new", "--prefix", "in/a")["made"] == 1  # without a platform, too
    platform.start()
    until(lambda: len(platform.runs("--state", "succeeded")) == 5, "the one that was to run again")


def _now(platform: RunningPlatform) -> int:
    probe = platform.data.with_name("probe")
    probe.touch()
    return int(probe.stat().st_ctime)


def test_what_cannot_be_backfilled_is_refused_with_its_exit_code(platform: RunningPlatform) -> None:
    platform.apply("copy", COPY)
    for arguments, code, told in (
        (("nobody",), 3, "no service 'nobody'"),
        (("copy", "--resume", "0123456789"), 2, "--as-new"),
        (("copy", "--rate", "fast"), 2, "is no rate"),
        (("copy", "--since", "soon"), 2, "is no time"),
    ):
        refused = platform.ask("backfill", *arguments)
        assert (refused.returncode, told in refused.stderr) == (code, True), refused.stderr


@pytest.fixture
def listing(minio: MinioServer, tmp_path: Path) -> Iterator[RunningPlatform]:
    """A platform that lists a MinIO which tells it nothing, every second."""
    data = tmp_path / "data"
    data.mkdir()
    providers = {"minio": {"default": {name: value for name, value in minio.settings.items() if name != "type"}}}
    config = {"storage_providers": providers, "reconcile": {"every": "1s", "min_age": "1s"}}
    (data / "config.yaml").write_text(json.dumps(config))
    (data / "config.yaml").chmod(0o600)
    with running_platform(data) as platform:
        yield platform


def applied(platform: RunningPlatform, name: str, bucket: str, **dispatch: object) -> None:
    file = platform.data.with_name(f"{name}.yaml")
    service = {
        "name": name,
        "image": "busybox",
        "script": COPY,
        "input": [{"storage_provider": "minio.default", "path": f"{bucket}/in"}],
        "output": [{"storage_provider": "minio.default", "path": f"{bucket}/out-{name}"}],
        "dispatch": dispatch,
    }
    file.write_text(json.dumps(service))
    done = platform.ask("apply", file)
    assert done.returncode == 0, done.stderr


def test_a_store_that_tells_nothing_is_listed_but_not_for_services_that_do_not_want_it(
    listing: RunningPlatform, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("untold")
    minio.client.put(bucket, b"in/before", b"0")
    second = _now(listing)
    until(lambda: _now(listing) > second + 1, "the object to be older than the services")
    applied(listing, "copy", bucket)
    applied(listing, "silent", bucket, reconcile=False)
    minio.client.put(bucket, b"in/after", b"1")
    until(lambda: minio.client.get(bucket, b"out-copy/after"), "what nobody told of")
    assert minio.client.get(bucket, b"out-copy/before") is None
    assert [run["service"] for run in listing.runs()] == ["copy"]

    assert backfilled(listing, "copy")["made"] == 1
    until(lambda: minio.client.get(bucket, b"out-copy/before"), "what was there before")
    assert backfilled(listing, "silent")["made"] == 2
    until(lambda: minio.client.get(bucket, b"out-silent/after"), "a backfill asks nobody's leave")


def test_a_backfill_of_a_missing_bucket_says_so(listing: RunningPlatform) -> None:
    applied(listing, "copy", "a-missing-bucket")
    refused = listing.ask("backfill", "copy")
    assert (refused.returncode, "no such bucket" in refused.stderr) == (3, True), refused.stderr
