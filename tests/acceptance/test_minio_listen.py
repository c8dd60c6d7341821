"""A platform that asks MinIO to tell: nothing is set up at the server, and services applied later are heard too.

The whole way with real programs; the server serves listening connections (tests/testbed/minio_listening.py).
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.platform import RunningPlatform, running_platform, until
from tests.testbed.minio import MinioServer
from tests.testbed.minio_listening import ListeningMinio


def configured(directory: Path, minio: MinioServer) -> Path:
    """Return a data directory whose platform listens at the server."""
    data = directory / "data"
    data.mkdir(mode=0o700)
    config = data / "config.yaml"
    config.touch(mode=0o600)
    provider = {name: value for name, value in minio.settings.items() if name != "type"}
    sources = {"heard": {"type": "minio_listen", "provider": "minio.default"}}
    config.write_text(json.dumps({"sources": sources, "storage_providers": {"minio": {"default": provider}}}))
    return data


def apply(platform: RunningPlatform, name: str, path: str) -> None:
    file = platform.data.with_name(f"{name}.json")
    place = {"storage_provider": "minio.default", "path": path}
    file.write_text(json.dumps({"name": name, "image": "busybox", "script": "true", "input": [place]}))
    applied = platform.ask("apply", file)
    assert applied.returncode == 0, applied.stderr


def test_uploads_are_heard_without_any_rule_at_the_server_also_after_it_was_killed(
    own_minio: ListeningMinio, tmp_path: Path
) -> None:
    own_minio.client.make_bucket("pics")
    own_minio.client.make_bucket("docs")
    with running_platform(configured(tmp_path, own_minio)) as platform:

        def seen(key: str) -> list[str]:
            answer = json.loads(platform.ask("why", key, "--json").stdout)
            return [one["source"] for event in answer["events"] for one in event["seen"]]

        def uploads_until_heard(bucket: str, word: str) -> None:
            """What comes while a connection is made is left to the listing; so upload until one is heard."""
            tried: list[str] = []

            def heard() -> bool:
                tried.append(f"{bucket}/in/{word}{len(tried)}")
                own_minio.client.put(bucket, tried[-1].partition("/")[2].encode(), b"x")
                return any("heard" in seen(key) for key in tried)

            until(heard, f"an upload to {bucket} is heard")

        apply(platform, "first", "pics/in")
        uploads_until_heard("pics", "a")
        apply(platform, "second", "docs/in")
        uploads_until_heard("docs", "b")
        own_minio.kill()
        own_minio.start()
        uploads_until_heard("pics", "c")
        runs = until(lambda: platform.runs("--state", "succeeded"), "runs have succeeded")
        assert len({run["key"] for run in runs}) == len(runs)


def test_a_bucket_that_is_missing_is_said_and_holds_up_no_other(own_minio: ListeningMinio, tmp_path: Path) -> None:
    own_minio.client.make_bucket("pics")
    with running_platform(configured(tmp_path, own_minio)) as platform:
        apply(platform, "lost", "nowhere/in")
        apply(platform, "found", "pics/in")

        def ran() -> bool:
            own_minio.client.put("pics", b"in/a", b"x")
            return bool(platform.runs("--state", "succeeded"))

        until(ran, "the other bucket's upload has run")
        until(lambda: "there is no such bucket" in platform.log.read_text(), "the log says what is missing")
        assert platform.process is not None
        assert platform.process.poll() is None
