"""What the command answers for when a signal comes between two records of an event."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# The command itself, signalled once the results of the first record are on their way.
SIGNALLED = """\
import os, signal, sys
from oscar_supervisor import app, pipeline
stage_out = pipeline._stage_out
def signalled(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    stage_out(*arguments)
pipeline._stage_out = signalled
sys.exit(app.main(["run", "--root", sys.argv[1]]))
"""


def record(key: str) -> dict[str, object]:
    return {
        "eventSource": "minio:s3",
        "eventTime": "2026-11-21T04:30:27.946Z",
        "eventName": "s3:ObjectCreated:Put",
        "s3": {"bucket": {"name": "pics"}, "object": {"key": key, "sequencer": "18E9F51C32EAEE80"}},
    }


def test_a_signal_during_the_last_put_is_success_and_with_records_left_it_is_not(tmp_path: Path) -> None:
    bucket, config = tmp_path / "buckets/pics", tmp_path / "root/oscar/config"
    bucket.mkdir(parents=True)
    config.mkdir(parents=True)
    local = {"default": {"root": str(bucket.parent), "staging": str(tmp_path / "staging")}}
    document = {
        "storage_providers": {"local": local},
        "input": [{"storage_provider": "local", "path": "pics"}],
        "output": [{"storage_provider": "local", "path": "pics/out"}],
    }
    (config / "function_config.yaml").write_text(json.dumps(document))
    (config / "script.sh").write_text('cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR"')
    for name in "ab":
        (bucket / name).write_text(name)
    for keys, exit_code in (("ab", 143), ("b", 0)):
        run = subprocess.run(
            [sys.executable, "-c", SIGNALLED, tmp_path / "root"],
            input=json.dumps({"Records": [record(key) for key in keys]}).encode(),
            capture_output=True,
            env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        )
        assert run.returncode == exit_code, run.stderr
        assert [file.name for file in (bucket / "out").iterdir()] == [keys[0]]  # whole: what was begun was put
        (bucket / "out" / keys[0]).unlink()
