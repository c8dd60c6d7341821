"""The sources follow config.yaml while the platform runs, and a broken file changes nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import structlog

from oscar_events.config import PlatformConfig, load_config
from oscar_events.datadir import DataDirectory
from oscar_ingest.sources import configured
from oscar_ingest.sources.configured import ConfiguredSources
from tests.waiting import running, wait_until

OLD, NEW = "old-0123456789abcdef", "new-0123456789abcdef"


class Clock:
    """Time as the sources have it: long after the last change of a file, until it is stopped so long after one."""

    def __init__(self) -> None:
        self.ahead_s = 10
        self._stopped_ns = 0

    def __call__(self) -> int:
        return self._stopped_ns or time.time_ns() + self.ahead_s * 1_000_000_000

    def stop(self, after: Path, seconds: int = 0) -> None:
        self._stopped_ns = after.stat().st_ctime_ns + seconds * 1_000_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path)


def write(directory: DataDirectory, **tokens: str) -> None:
    lines = [f"  {name}: {{provider: minio.default, tokens: [{token}]}}" for name, token in tokens.items()]
    directory.config.write_text("\n".join(["sources:", *lines]) if lines else "")
    directory.config.chmod(0o600)


@pytest.fixture
def sources(directory: DataDirectory, clock: Clock) -> ConfiguredSources:
    write(directory, minio=OLD)
    return ConfiguredSources(directory, load_config(directory), clock)


def accepts(sources: ConfiguredSources, name: str, authorization: str) -> bool:
    return sources.admitting(name, authorization.encode()) is not None


@pytest.mark.parametrize(
    ("authorization", "accepted"),
    [
        (f"Bearer {OLD}", True),
        (f"bearer {OLD}", True),  # schemes have no case (RFC 9110)
        (f"Bearer  {OLD} ", True),
        (f"Bearer {NEW}", False),
        (f"Bearer {OLD[:-1]}", False),
        (f"Bearer {OLD}x", False),
        (f"Basic {OLD}", False),
        (OLD, False),
        ("Bearer", False),
        ("", False),
        ("Bearer \xff", False),
    ],
)
def test_who_may_send(sources: ConfiguredSources, authorization: str, accepted: bool) -> None:
    assert accepts(sources, "minio", authorization) is accepted


def test_both_of_two_tokens_are_accepted(directory: DataDirectory, clock: Clock) -> None:
    write(directory, minio=f"{OLD}, {NEW}")
    sources = ConfiguredSources(directory, load_config(directory), clock)
    assert accepts(sources, "minio", f"Bearer {OLD}")
    assert accepts(sources, "minio", f"Bearer {NEW}")


@pytest.mark.parametrize("name", ["minio", "nifi"])
def test_a_new_token_and_a_new_source_are_accepted_at_once(
    directory: DataDirectory, sources: ConfiguredSources, name: str
) -> None:
    write(directory, minio=NEW, nifi=NEW)
    assert accepts(sources, name, f"Bearer {NEW}")


def test_what_was_taken_out_is_refused_within_a_second(
    directory: DataDirectory, sources: ConfiguredSources, clock: Clock
) -> None:
    write(directory, minio=NEW)
    clock.ahead_s += 1
    assert not accepts(sources, "minio", f"Bearer {OLD}")
    directory.config.unlink()
    clock.ahead_s += 1
    assert sources.find("minio") is None


def test_a_file_that_may_still_be_being_written_is_not_read_yet(
    directory: DataDirectory, sources: ConfiguredSources, clock: Clock
) -> None:
    write(directory)  # as an editor does: first empty, then the text
    clock.stop(directory.config)
    sources.refresh()
    assert sources.find("minio") is not None
    clock.stop(directory.config, seconds=1)
    sources.refresh()
    assert sources.find("minio") is None


def test_a_file_that_is_gone_for_a_moment_takes_no_source_away(
    directory: DataDirectory, sources: ConfiguredSources, clock: Clock
) -> None:
    directory.config.rename(directory.path / "config.yaml~")  # as an editor does that keeps the old one
    clock.stop(directory.path)
    sources.refresh()
    assert sources.find("minio") is not None
    clock.stop(directory.path, seconds=1)
    sources.refresh()
    assert sources.find("minio") is None


def test_what_was_read_at_the_start_while_it_was_being_written_is_read_again(
    directory: DataDirectory, clock: Clock
) -> None:
    write(directory, minio=OLD)
    clock.stop(directory.config)
    half_written = PlatformConfig(files=(directory.config,))
    sources = ConfiguredSources(directory, half_written, clock)
    clock.stop(directory.config, seconds=1)
    assert accepts(sources, "minio", f"Bearer {OLD}")


def test_a_changed_token_file_is_in_force_too(directory: DataDirectory, clock: Clock) -> None:
    file = directory.path / "token"
    file.write_text(OLD)
    directory.config.write_text("sources: {minio: {provider: minio.default, token_files: [token]}}")
    sources = ConfiguredSources(directory, load_config(directory), clock)
    assert accepts(sources, "minio", f"Bearer {OLD}")
    file.write_text(f"{NEW}1")
    assert accepts(sources, "minio", f"Bearer {NEW}1")


def test_a_broken_file_changes_nothing_and_is_told_until_it_is_mended(
    directory: DataDirectory, sources: ConfiguredSources
) -> None:
    directory.config.write_text("sources: {minio: {")
    sources.refresh()
    assert accepts(sources, "minio", f"Bearer {OLD}")
    assert str(directory.config) in sources.problem
    write(directory, minio=NEW)
    assert accepts(sources, "minio", f"Bearer {NEW}")
    assert sources.problem == ""


def test_a_file_that_only_the_broken_one_names_is_looked_for_again(
    directory: DataDirectory, sources: ConfiguredSources, clock: Clock
) -> None:
    directory.config.write_text("sources: {minio: {provider: minio.default, token_files: [token]}}")
    sources.refresh()
    assert accepts(sources, "minio", f"Bearer {OLD}")
    assert "cannot read" in sources.problem
    (directory.path / "token").write_text(NEW)
    clock.ahead_s += 2
    assert accepts(sources, "minio", f"Bearer {NEW}")
    assert sources.problem == ""


def test_a_name_nobody_configured_is_no_source(sources: ConfiguredSources) -> None:
    assert sources.find("nifi") is None


@pytest.mark.parametrize("error", [FileNotFoundError("config.yaml"), PermissionError("config.yaml")])
def test_a_file_that_goes_while_it_is_read_is_no_end_of_the_platform(
    directory: DataDirectory, sources: ConfiguredSources, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def gone(directory: DataDirectory) -> PlatformConfig:
        raise error

    monkeypatch.setattr(configured, "load_config", gone)
    write(directory, minio=NEW)
    sources.refresh()
    assert "config.yaml" in sources.problem
    assert accepts(sources, "minio", f"Bearer {OLD}")


async def test_a_broken_file_is_told_also_while_nobody_asks(
    directory: DataDirectory, sources: ConfiguredSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "_LOOK_NS", 1_000_000)
    async with running(sources.watch()):
        directory.config.write_text("sources: {minio: {")
        await wait_until(lambda: sources.problem, "the file to be looked at")
        write(directory, minio=OLD)
        await wait_until(lambda: not sources.problem, "the file to be looked at again")


def with_storage(directory: DataDirectory, storage: dict[str, str], **providers: str) -> None:
    """Write sources, each with its provider, and MinIO stores, each with its secret key."""
    sources = {name: {"provider": provider, "tokens": [OLD]} for name, provider in providers.items()}
    stores = {name: {"endpoint": "http://x", "access_key": "me", "secret_key": key} for name, key in storage.items()}
    directory.config.write_text(json.dumps({"sources": sources, "storage_providers": {"minio": stores}}))
    directory.config.chmod(0o600)


@pytest.fixture
def with_one_store(directory: DataDirectory, clock: Clock) -> ConfiguredSources:
    with_storage(directory, {"one": "key"}, first="minio.one", moving="minio.one", plain="minio.default")
    return ConfiguredSources(directory, load_config(directory), clock)


@pytest.mark.parametrize(
    ("storage", "changed"),
    [
        ({"one": "rotated"}, "minio.one"),
        ({"one": "key", "two": "canary"}, "minio.two"),
        ({}, "minio.one"),
        ({"two": "canary", "default": "canary"}, "minio.one, minio.two, minio.default"),
    ],
)
def test_changed_storage_is_told_once_without_its_keys_until_it_is_put_back(
    directory: DataDirectory, with_one_store: ConfiguredSources, storage: dict[str, str], changed: str
) -> None:
    sources = with_one_store
    with structlog.testing.capture_logs() as log:
        with_storage(directory, storage, first="minio.one")
        sources.refresh()
        assert sources.waiting == f"changed in config.yaml and not in use before a restart: {changed}"
        directory.config.write_text(directory.config.read_text() + "\n")
        sources.refresh()
        directory.config.write_text("sources: {minio: {")
        sources.refresh()
        assert sources.waiting  # of a broken file nothing is known
    warned = [line for line in log if line["log_level"] == "warning"]
    assert [line["event"] for line in warned] == ["storage_providers changed; restart the platform to use them"]
    assert "canary" not in str(log)
    with_storage(directory, {"one": "key"}, first="minio.one")
    sources.refresh()
    assert (sources.waiting, sources.problem) == ("", "")


def waiting(sources: ConfiguredSources, *names: str) -> list[str]:
    found = {name: sources.admitting(name, f"Bearer {OLD}".encode()) for name in names}
    return [name for name, source in found.items() if source is not None and source.is_waiting]


def test_a_source_that_came_or_moved_to_storage_not_in_force_waits_for_the_restart(
    directory: DataDirectory, with_one_store: ConfiguredSources, clock: Clock
) -> None:
    providers = {"first": "minio.one", "plain": "minio.default", "new": "minio.one", "local": "local.default"}
    # minio.default is the local store as long as nobody defines it.
    later = {**providers, "moving": "minio.two", "other": "minio.default"}
    for _ in range(2):  # it does not become one that was there before
        with_storage(directory, {"one": "key", "two": "key", "default": "key"}, **later)
        with_one_store.refresh()
        assert waiting(with_one_store, *later) == ["moving", "other"]
    with_storage(directory, {"one": "rotated"}, **providers, third="minio.one", moving="minio.one")
    with_one_store.refresh()
    assert waiting(with_one_store, *providers, "third", "moving") == ["third", "moving"]
    with_storage(directory, {"one": "key"}, **providers, third="minio.one", moving="minio.one")
    with_one_store.refresh()
    assert waiting(with_one_store, *providers, "third", "moving") == []
    with_storage(directory, {"one": "key", "two": "key"}, moving="minio.two")
    restarted = ConfiguredSources(directory, load_config(directory), clock)
    assert waiting(restarted, "moving") == []
    assert restarted.waiting == ""


def test_a_source_that_reads_a_topic_has_no_route_and_a_change_of_it_waits_for_a_restart(
    directory: DataDirectory, clock: Clock
) -> None:
    def read_topic(topic: str) -> None:
        source = f"type: kafka, topic: {topic}, provider: minio, kafka: {{bootstrap_servers: 'a:1'}}"
        directory.config.write_text(f"sources: {{uploads: {{{source}}}}}")

    read_topic("one")
    sources = ConfiguredSources(directory, load_config(directory), clock)
    assert (sources.find("uploads"), sources.waiting) == (None, "")
    read_topic("another")
    sources.refresh()
    assert sources.waiting == "changed in config.yaml and not in use before a restart: the source uploads"
