"""Which road a command takes: through the front of the platform that runs, or to the files when none does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from oscar_events.cli import platform
from oscar_events.cli.platform import open_platform
from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError, InUseError, UnavailableError


async def test_without_a_platform_the_files_answer_and_are_locked_meanwhile(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    async with open_platform(directory, create=True) as opened:
        assert await opened.services() == []
        with pytest.raises(InUseError):
            async with directory.lock(patience_s=0):
                pytest.fail("somebody else could write to the files")


async def test_a_directory_nobody_made_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no data directory; name one with --data"):
        async with open_platform(DataDirectory(tmp_path)):
            pytest.fail("it was opened")
    assert list(tmp_path.iterdir()) == []


async def test_what_would_wait_for_ever_is_refused_when_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no platform runs on"):
        async with open_platform(DataDirectory(tmp_path), create=True, running=True):
            pytest.fail("it was opened")


async def test_two_commands_at_a_time_wait_for_each_other(tmp_path: Path) -> None:
    async def command() -> None:
        async with open_platform(DataDirectory(tmp_path), create=True) as opened:
            await opened.services()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(command())


async def test_a_holder_that_never_answers_is_told_as_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "PATIENCE_S", 0.2)
    directory = DataDirectory(tmp_path)
    async with directory.lock():
        directory.write_up(1, "nobody listens on port 1")
        with pytest.raises(InUseError, match="is in use by process"):
            async with open_platform(directory):
                pytest.fail("it was opened")


@pytest.mark.parametrize("text", ["kafka: {bootstrap_servers: 'a:1'}", "ledger: {url_file: none}"])
async def test_a_configuration_that_names_half_a_cluster_is_refused_before_any_file_is_opened(
    tmp_path: Path, text: str
) -> None:
    directory = DataDirectory(tmp_path)
    directory.config.write_text(text)
    with pytest.raises(ConfigurationError, match="both, for a cluster"):
        async with open_platform(directory, create=True):
            pytest.fail("it was opened")
    assert not directory.exists()


async def test_a_cluster_is_asked_at_its_database_whatever_lies_in_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSCAR_EVENTS_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("OSCAR_EVENTS_LEDGER__URL_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match=r"ledger\.url_file"):
        async with open_platform(DataDirectory(tmp_path)):
            pytest.fail("it was opened")


async def test_what_only_speaks_of_kafka_is_a_laptop_still(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.config.write_text("# no kafka here\n")
    async with open_platform(directory, create=True) as opened:
        assert await opened.services() == []
