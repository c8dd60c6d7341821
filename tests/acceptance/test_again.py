"""Dead letters, the quarantine and replays, as people use them: by the real command, with a platform and without."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
from pathlib import Path

from tests.acceptance.platform import COMMAND, COPY, DEADLINE_S, RunningPlatform, clean_environment, until

TOKEN = "0123456789abcdef0123"


def test_a_dead_letter_is_found_understood_and_sent_again_once_its_cause_is_mended(platform: RunningPlatform) -> None:
    platform.apply("copy", "echo no such tool >&2; exit 7")
    result = platform.drop("a.txt")
    run = platform.run_in("dead")["id"]
    assert run in platform.ask("deadletters").stdout
    shown = platform.ask("deadletters", "show", run).stdout
    assert "no such tool" in shown
    assert f"deadletters redrive {run}" in shown
    found, done = platform.ask("deadletters", "redrive", "--service", "copy", "--dry-run").stdout.splitlines()[1:]
    assert run in found
    assert done == "nothing was done; 1 would be sent again"

    platform.apply("copy", COPY)
    sent = platform.ask("deadletters", "redrive", run)
    assert sent.returncode == 0, sent.stderr
    again = platform.run_in("succeeded")
    assert (again["redrive_of"], again["id"] in sent.stdout) == (run, True)
    assert result.read_bytes() == b"content"
    assert "left as it is: it was sent again before" in platform.ask("deadletters", "redrive", run).stdout
    assert again["id"] in platform.ask("runs", "show", run).stdout
    assert platform.ask("deadletters").stdout == "No dead letters.\n"
    assert platform.ask("deadletters", "redrive", again["id"]).returncode == 4
    assert platform.ask("deadletters", "redrive", "nowhere").returncode == 3
    assert platform.ask("deadletters", "redrive").returncode == 2


def test_one_of_a_deleted_service_is_refused_and_purged_without_a_platform(platform: RunningPlatform) -> None:
    platform.apply("copy", "exit 7")
    platform.drop("a.txt")
    run = platform.run_in("dead")["id"]
    platform.ask("services", "delete", "copy")
    assert platform.stop(signal.SIGTERM) == 0
    refused = platform.ask("deadletters", "redrive", run)
    assert refused.returncode == 4
    assert "its service copy was deleted" in refused.stderr
    assert platform.ask("deadletters", "redrive", "--all").returncode == 1
    assert platform.ask("deadletters", "purge", "--all").returncode == 0
    assert json.loads(platform.ask("deadletters", "--json").stdout) == []
    assert json.loads(platform.ask("runs", "show", run, "--json").stdout)["purged_at"] is not None


def test_what_a_source_refused_is_looked_into_byte_by_byte_and_sent_again_once_it_is_configured_right(
    platform: RunningPlatform,
) -> None:
    def configure(**source: str) -> None:
        config = Path(platform.data, "config.yaml")
        made = config.with_name("made.yaml")
        made.write_text(json.dumps({"sources": {"tool": {"provider": "minio.tool", "tokens": [TOKEN], **source}}}))
        made.chmod(0o600)
        made.rename(config)

    body = b'\xff\x00 "binary"'
    platform.apply("copy", 'cp "$EVENT_FILE" "$TMP_OUTPUT_DIR/message"')
    configure()
    until(lambda: _post(platform, "/ingest/tool", body) == 202, "the source is configured")
    [record] = json.loads(platform.ask("quarantine", "list", "--json").stdout)
    assert "names no service" in platform.ask("quarantine", "show", record["id"]).stdout
    assert "ff 00" in platform.ask("quarantine", "show", record["id"]).stdout
    assert _raw(platform, record["id"]) == body
    refused = platform.ask("quarantine", "redrive", record["id"])
    assert (refused.returncode, "names no service" in refused.stderr) == (4, True)

    configure(service="copy")
    sent = platform.ask("quarantine", "redrive", "--all", "--rate", "10/s")
    assert sent.returncode == 0, sent.stderr
    platform.run_in("succeeded")
    assert Path(platform.data, "buckets/pics/out/message").read_bytes() == body
    assert platform.ask("quarantine").stdout == "Nothing in quarantine.\n"
    assert record["id"] in platform.ask("quarantine", "list", "--all").stdout
    assert "left as it is" in platform.ask("quarantine", "purge", record["id"]).stdout
    assert platform.ask("quarantine", "show", "0-999").returncode == 3


def test_a_service_applied_too_late_is_given_what_it_missed_by_a_replay(platform: RunningPlatform) -> None:
    platform.apply("early", "true")
    platform.drop("a.txt")
    platform.run_in("succeeded")
    platform.apply("late", COPY)
    preview = platform.ask("replay", "--from", "1h", "--service", "late", "--dry-run")
    assert "1 new runs" in preview.stdout, preview.stderr
    done = platform.ask("replay", "--from", "1h", "--service", "late", "--json")
    assert json.loads(done.stdout)["made"] == 1, done.stderr
    until(lambda: Path(platform.data, "buckets/pics/out/a.txt").exists(), "its result is there")
    assert platform.stop(signal.SIGTERM) == 0
    again = platform.ask("replay", "--from", "1h", "--service", "late")
    assert "0 new runs, 1 had theirs already" in again.stdout, again.stderr
    assert len(json.loads(platform.ask("replay", "list", "--json").stdout)) == 2
    assert platform.ask("replay", "resume").returncode == 0
    assert platform.ask("replay", "--from", "1h", "--service", "nobody").returncode == 3
    assert platform.ask("replay", "--from", "soon", "--service", "late").returncode == 2


def _raw(platform: RunningPlatform, record: str) -> bytes:
    command: list[str | Path] = [COMMAND, "--data", platform.data, "quarantine", "show", record, "--raw"]
    return subprocess.run(command, env=clean_environment(), capture_output=True, check=True).stdout


def _post(platform: RunningPlatform, path: str, body: bytes) -> int:
    up = platform.up()
    assert up is not None
    connection = http.client.HTTPConnection("127.0.0.1", up["port"], timeout=DEADLINE_S)
    try:
        connection.request("POST", path, body, {"Authorization": f"Bearer {TOKEN}"})
        return connection.getresponse().status
    finally:
        connection.close()
