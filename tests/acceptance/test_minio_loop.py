"""Two services that feed each other by two names of one store: no apply can see it, and it ends."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from oscar_events.event import MAX_HOPS
from tests.acceptance.platform import until
from tests.acceptance.test_minio import TOKEN, PlatformOnAPort, ended_with
from tests.testbed.minio import announcing, running_minio
from tests.testbed.ports import free_port

COPY = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"'


@pytest.mark.usefixtures("minio_here")
def test_a_loop_that_no_apply_can_see_ends_after_16_runs_and_says_so(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    names = ("default", "alias")
    variables: dict[str, str] = {}
    for name in names:
        variables |= announcing(f"http://127.0.0.1:{port}/ingest/{name}", f"Bearer {TOKEN}", name=name.upper())
    platform = PlatformOnAPort(data, port=port)
    with contextlib.ExitStack() as stack:
        stack.enter_context(ended_with(platform))
        minio = stack.enter_context(running_minio(tmp_path / "minio", variables))
        data.mkdir(mode=0o700)
        config = data / "config.yaml"
        config.touch(mode=0o600)
        settings = {name: value for name, value in minio.settings.items() if name != "type"}
        sources = {name: {"provider": f"minio.{name}", "tokens": [TOKEN]} for name in names}
        providers = {"minio": dict.fromkeys(names, settings)}
        config.write_text(json.dumps({"sources": sources, "storage_providers": providers}))
        platform.start()
        minio.client.make_bucket("pics")
        targets = "".join(
            f"<QueueConfiguration><Queue>arn:minio:sqs::{name.upper()}:webhook</Queue>"
            "<Event>s3:ObjectCreated:*</Event></QueueConfiguration>"
            for name in names
        )
        rules = f"<NotificationConfiguration>{targets}</NotificationConfiguration>"
        minio.client.ask("PUT", "pics", query={"notification": ""}, body=rules.encode())
        for name, provider, source, target in (
            ("there", "minio.default", "pics/in", "pics/back"),
            ("back", "minio.alias", "pics/back", "pics/in"),
        ):
            places = [[{"storage_provider": provider, "path": path}] for path in (source, target)]
            service = {"name": name, "image": "busybox", "script": COPY, "input": places[0], "output": places[1]}
            file = tmp_path / f"{name}.json"
            file.write_text(json.dumps(service))
            applied = platform.ask("apply", file)
            assert applied.returncode == 0, applied.stderr

        minio.client.put("pics", b"in/a.txt", b"round and round")

        def refused() -> list[dict[str, str]]:
            return list(json.loads(platform.ask("quarantine", "--json").stdout))

        records = until(refused, "the loop's end is in quarantine", 60)
        assert all("a loop of services: the object was made by 17 runs" in record["reason"] for record in records)
        until(lambda: len(platform.runs("--state", "succeeded")) == MAX_HOPS + 1, "all runs of the loop have ended")
        assert len(platform.runs()) == MAX_HOPS + 1
        end = minio.client.get("pics", b"back/a.txt")
        assert end is not None
        assert (end.body, end.headers["x-amz-meta-oscar-events-hops"]) == (b"round and round", str(MAX_HOPS + 1))
