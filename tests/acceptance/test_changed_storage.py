"""Storage that config.yaml changes while the platform runs is not used before a restart, and everybody is told so."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from tests.acceptance.platform import DEADLINE_S, RunningPlatform, until

TOKEN = "token-0123456789abcdef"
SECRET = "canary-0123456789"


def configure(data: Path) -> None:
    """Have a new source speak of a new store, under the name that is the platform's own folders without it."""
    store = {"endpoint": "http://127.0.0.1:1", "access_key": "me", "secret_key": SECRET}
    source = {"provider": "minio.default", "tokens": [TOKEN]}
    config = data / "config.yaml"
    config.touch(mode=0o600)
    config.write_text(json.dumps({"sources": {"new": source}, "storage_providers": {"minio": {"default": store}}}))


def asked(platform: RunningPlatform, method: str, path: str) -> tuple[int, dict[str, Any]]:
    up = platform.up()
    assert up is not None
    connection = http.client.HTTPConnection("127.0.0.1", up["port"], timeout=DEADLINE_S)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        return answer.status, dict(json.loads(answer.read()))
    finally:
        connection.close()


def told_by_doctor(platform: RunningPlatform) -> list[str]:
    findings = json.loads(platform.ask("doctor", "--json").stdout)
    return [one["fix"] for one in findings if one["what"].startswith("storage_providers: ")]


def test_changed_storage_is_told_everywhere_and_its_new_source_waits(platform: RunningPlatform) -> None:
    configure(platform.data)
    warning = "storage_providers changed; restart the platform to use them"
    until(lambda: warning in platform.log.read_text(), "the log tells of it, though nobody asked")
    assert "minio.default" in asked(platform, "GET", "/readyz")[1]["troubles"]["storage_providers"]
    assert told_by_doctor(platform) == ["restart the platform, or put config.yaml back as it was"]
    status, answer = asked(platform, "POST", "/ingest/new")
    assert status == 503
    assert "minio.default is not in use before the platform is restarted" in answer["error"]
    (platform.data / "config.yaml").unlink()
    until(lambda: asked(platform, "GET", "/readyz")[1]["troubles"] == {}, "put back, nothing is left to tell")
    platform.stop()
    configure(platform.data)
    platform.start()
    assert asked(platform, "GET", "/readyz")[1]["troubles"] == {}
    assert told_by_doctor(platform) == []
    assert asked(platform, "GET", "/ingest/new") == (200, {"source": "new"})
    log = platform.log.read_text()
    assert log.count(warning) == 1
    assert SECRET not in log
