"""The real `oscar-supervisor run` between buckets of a real MinIO, with credentials mounted as OSCAR mounts them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.platform import DEADLINE_S
from tests.testbed.minio import ACCESS_KEY, SECRET_KEY, MinioServer

COMMAND = Path(sys.executable).with_name("oscar-supervisor")
UPPER = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'


def container(root: Path, minio: MinioServer, output: str, provider: str = "default") -> Path:
    """Lay out the files of a pod: configuration, script, mounted credentials."""
    (root / "oscar/config").mkdir(parents=True)
    # The keys as OSCAR's manager stores them; the endpoint is the service's.
    settings = {"endpoint": minio.endpoint, "region": "us-east-1", "access_key": "hidden", "secret_key": "hidden"}
    config = {
        "name": "upper",
        "storage_providers": {"minio": {provider: settings}},
        "output": [{"storage_provider": f"minio.{provider}", "path": f"{output}/results"}],
    }
    (root / "oscar/config/function_config.yaml").write_text(json.dumps(config))
    (root / "oscar/config/script.sh").write_text(UPPER)
    secrets = root / "var/run/secrets/providers" / f"minio.{provider}"
    secrets.mkdir(parents=True)
    (secrets / "accessKey").write_text(ACCESS_KEY)
    (secrets / "secretKey").write_text(f"{SECRET_KEY}\n")
    return root


def event_of(bucket: str, key: str, etag: str) -> dict[str, Any]:
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "eventTime": "2026-11-21T04:30:27.946Z",
        "eventName": "s3:ObjectCreated:Put",
        "s3": {
            "bucket": {"name": bucket},
            "object": {"key": key, "size": 4, "eTag": etag, "sequencer": "18E9F51C32EAEE80"},
        },
    }
    return {"EventName": "s3:ObjectCreated:Put", "Records": [record]}


def run(root: Path, event: object, temporary: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [COMMAND, "run", "--root", root],
        input=json.dumps(event).encode(),
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary), "LOG_LEVEL": "DEBUG"},
        timeout=2 * DEADLINE_S,
    )


def test_an_object_is_fetched_and_its_result_put(
    minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path
) -> None:
    inputs, outputs = new_bucket("in"), new_bucket("out")
    etag = minio.client.put(inputs, "red flower+é%41.txt".encode(), b"meow").etag
    root = container(tmp_path / "root", minio, outputs)
    end = run(root, event_of(inputs, "red+flower%2B%C3%A9%2541.txt", etag), tmp_path)
    assert end.returncode == 0, end.stderr
    result = minio.client.get(outputs, "results/red flower+é%41.txt".encode())
    assert result is not None
    assert result.body == b"MEOW"
    assert SECRET_KEY.encode() not in end.stderr + end.stdout
    assert ACCESS_KEY.encode() not in end.stderr + end.stdout


@pytest.mark.parametrize("named", ["cluster2", "minio.cluster2"])
def test_a_delegated_event_uses_the_credentials_mounted_for_its_cluster(
    minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path, named: str
) -> None:
    inputs, outputs = new_bucket("in"), new_bucket("out")
    etag = minio.client.put(inputs, b"a.txt", b"meow").etag
    root = container(tmp_path / "root", minio, outputs, "cluster2")
    wrapped = {"storage_provider": named, "event": json.dumps(event_of(inputs, "a.txt", etag))}
    end = run(root, wrapped, tmp_path)
    assert end.returncode == 0, end.stderr
    assert minio.client.keys(outputs) == ["results/a.txt"]


def test_an_object_that_is_gone_or_replaced_fails_before_the_script(
    minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path
) -> None:
    inputs, outputs = new_bucket("in"), new_bucket("out")
    etag = minio.client.put(inputs, b"a.txt", b"meow").etag
    minio.client.put(inputs, b"a.txt", b"wuff")
    root = container(tmp_path / "root", minio, outputs)
    for event, reason in (
        (event_of(inputs, "a.txt", etag), b"was replaced"),
        (event_of(inputs, "b.txt", etag), b"is gone"),
    ):
        end = run(root, event, tmp_path)
        assert end.returncode == 1
        assert b"CRITICAL - permanent: " in end.stderr
        assert reason in end.stderr
    assert minio.client.keys(outputs) == []


def test_a_removed_object_runs_the_script_without_an_input(
    minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path
) -> None:
    root = container(tmp_path / "root", minio, new_bucket("out"))
    (root / "oscar/config/script.sh").write_text('echo "${INPUT_FILE_PATH-none} $STORAGE_OBJECT_KEY"')
    event = event_of("in", "a+b.txt", "e")
    event["Records"][0]["eventName"] = "s3:ObjectRemoved:Delete"
    end = run(root, event, tmp_path)
    assert (end.returncode, end.stdout) == (0, b"none a b.txt\n\n")
