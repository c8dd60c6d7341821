"""What a service file keeps secret is used by its runs and found nowhere else: no database, log or answer has it."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.platform import RunningPlatform, oscar_events, running_platform, until

# What the script is given, what it is not given but the platform keeps, and what stands in the platform's own file.
CANARY = "canary-bird-"
PASSWORD, ACCESS, SECRET, TOKEN, OWN = (f"{CANARY}{number}-of-the-mine" for number in range(5))

SERVICE = {
    "name": "keeper",
    "image": "docker.io/library/busybox",
    "script": 'printf %s "$PASSWORD" | sha256sum > "$TMP_OUTPUT_DIR/digest"; [ "${INPUT_FILE_PATH##*/}" != bad ]',
    "input": [{"storage_provider": "local", "path": "safe/in"}],
    "output": [{"storage_provider": "local", "path": "safe/out"}],
    "environment": {"variables": {"RADIUS": "4"}, "secrets": {"PASSWORD": PASSWORD}},
    "storage_providers": {
        "minio": {"mine": {"endpoint": "http://127.0.0.1:1", "access_key": ACCESS, "secret_key": SECRET}},
        "onedata": {"mine": {"oneprovider_host": "example.org", "token": TOKEN, "space": "s"}},
    },
}
CONFIG = f"""\
sources:
  minio: {{provider: minio.default, tokens: [{OWN}]}}
storage_providers:
  minio:
    default: {{endpoint: "http://127.0.0.1:1", access_key: {OWN}, secret_key: {OWN}}}
"""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[RunningPlatform]:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    config = data / "config.yaml"
    config.touch(0o600)
    config.write_text(CONFIG)
    with running_platform(data) as platform:
        yield platform


def files_with_canaries(data: Path) -> set[str]:
    """Return the files below the data directory that hold a canary."""
    files = (file for file in data.rglob("*") if file.is_file())
    return {str(file.relative_to(data)) for file in files if CANARY.encode() in file.read_bytes()}


def test_no_secret_is_found_outside_of_its_file_whatever_is_asked_and_whatever_fails(
    tmp_path: Path, platform: RunningPlatform
) -> None:
    file = tmp_path / "keeper.json"
    file.write_text(json.dumps(SERVICE))
    said = [platform.ask("apply", file)]
    assert said[0].returncode == 0, said[0].stderr
    platform.drop("good", bucket="safe")
    digest = platform.data / "buckets" / "safe" / "out" / "digest"
    until(digest.exists, "the result is there")
    assert digest.read_text().split()[0] == hashlib.sha256(PASSWORD.encode()).hexdigest()
    platform.drop("bad", bucket="safe")
    dead = platform.run_in("dead")

    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps({**SERVICE, "environment": {"secrets": [PASSWORD]}}))
    questions: list[tuple[str | Path, ...]] = [
        ("apply", broken),
        ("apply", file, "--json"),
        ("services", "list", "--json"),
        ("services", "show", "keeper"),
        ("services", "show", "keeper", "--json"),
        ("runs", "list", "--json"),
        ("runs", "show", dead["id"], "--json"),
        ("logs", dead["id"]),
        ("why", "safe/in/bad"),
        ("why", "safe/in/bad", "--json"),
        ("events", "--json"),
        ("deadletters", "show", dead["id"], "--json"),
        ("deadletters", "redrive", dead["id"]),
        ("quarantine", "list", "--json"),
        ("doctor", "--json"),
    ]
    said += [platform.ask(*question) for question in questions]
    assert "config.yaml" in files_with_canaries(platform.data)  # the search finds what is there
    platform.stop()
    said += [platform.ask("services", "show", "keeper", "--json"), platform.ask("doctor")]

    for answer in said:
        assert CANARY not in answer.stdout + answer.stderr, answer.args
        assert "No such command" not in answer.stderr, answer.args
    assert CANARY not in platform.log.read_text()
    kept = files_with_canaries(platform.data) - {"config.yaml"}
    assert kept, "the values are kept"
    assert {Path(name).parts[0] for name in kept} == {"secrets"}
    for name in kept:
        assert stat.S_IMODE((platform.data / name).stat().st_mode) == 0o600


def test_a_deleted_services_secrets_are_deleted(tmp_path: Path, platform: RunningPlatform) -> None:
    file = tmp_path / "keeper.json"
    file.write_text(json.dumps(SERVICE))
    assert platform.ask("apply", file).returncode == 0
    assert platform.ask("services", "delete", "keeper").returncode == 0
    assert files_with_canaries(platform.data) == {"config.yaml"}


def test_secrets_kept_for_the_last_run_of_a_deleted_service_go_at_the_next_start(
    tmp_path: Path, platform: RunningPlatform
) -> None:
    file = tmp_path / "keeper.json"
    file.write_text(json.dumps({**SERVICE, "script": "exec sleep 600"}))
    assert platform.ask("apply", file).returncode == 0
    platform.drop("slow", bucket="safe")
    run = platform.run_in("running")
    assert platform.ask("services", "delete", "keeper").returncode == 0
    assert len(files_with_canaries(platform.data)) > 1  # a run that is tried again needs them
    assert platform.ask("runs", "cancel", run["id"]).returncode == 0
    platform.run_in("cancelled")
    platform.stop()
    platform.start()
    assert files_with_canaries(platform.data) == {"config.yaml"}


def test_what_is_shown_of_a_service_can_be_applied_again_without_losing_its_secrets(
    tmp_path: Path, platform: RunningPlatform
) -> None:
    file = tmp_path / "keeper.json"
    file.write_text(json.dumps(SERVICE))
    assert platform.ask("apply", file).returncode == 0
    shown = json.loads(platform.ask("services", "show", "keeper", "--json").stdout)["definition"]
    file.write_text(json.dumps(shown))
    assert "unchanged" in platform.ask("apply", file).stdout


def test_a_secret_that_was_changed_reaches_the_next_run(tmp_path: Path, platform: RunningPlatform) -> None:
    changed = f"{CANARY}new"
    file = tmp_path / "keeper.json"
    digest = platform.data / "buckets" / "safe" / "out" / "digest"

    def seen(password: str) -> bool:
        return digest.exists() and digest.read_text().startswith(hashlib.sha256(password.encode()).hexdigest())

    file.write_text(json.dumps(SERVICE))
    assert platform.ask("apply", file).returncode == 0
    platform.drop("first", bucket="safe")
    until(lambda: seen(PASSWORD), "the run saw the secret")
    file.write_text(json.dumps({**SERVICE, "environment": {"secrets": {"PASSWORD": changed}}}))
    assert platform.ask("apply", file).returncode == 0
    platform.drop("second", bucket="safe")
    until(lambda: seen(changed), "the next run saw the new secret")


def test_a_configuration_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "config.yaml").write_text(CONFIG)
    (data / "config.yaml").chmod(0o644)
    refused = oscar_events("up", "--data", data)
    assert refused.returncode == 2
    assert "chmod 600" in refused.stderr
    assert CANARY not in refused.stderr
