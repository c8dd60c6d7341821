"""A data directory belongs to one process at a time, and says where its platform listens."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oscar_events.datadir import DataDirectory, Up
from oscar_events.errors import ConfigurationError, InUseError


async def test_a_held_directory_is_refused_and_the_refusal_names_the_holder(tmp_path: Path) -> None:
    async with DataDirectory(tmp_path).lock():
        with pytest.raises(InUseError, match=f"in use by process {os.getpid()}"):
            async with DataDirectory(tmp_path).lock(patience_s=0):
                pytest.fail("two hold the directory")


async def test_who_waits_gets_the_directory_when_its_holder_is_through(tmp_path: Path) -> None:
    held, wanted = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with DataDirectory(tmp_path).lock():
            held.set()
            await wanted.wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(hold())
        await held.wait()
        asyncio.get_running_loop().call_later(0.1, wanted.set)
        async with DataDirectory(tmp_path).lock(patience_s=8):
            assert wanted.is_set()


async def test_only_its_owner_can_read_the_token_and_it_goes_with_the_platform(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    async with directory.lock():
        directory.write_up(4711, "secret")
        assert directory.read_up() == Up(os.getpid(), 4711, "secret")
        assert stat.S_IMODE((tmp_path / "up.json").stat().st_mode) == 0o600
    assert directory.read_up() is None


async def test_what_a_killed_platform_said_is_no_longer_believed(tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text(json.dumps({"pid": 1, "port": 1, "token": "old"}))
    directory = DataDirectory(tmp_path)
    async with directory.lock():
        assert directory.read_up() is None


async def test_a_damaged_up_json_is_told_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text("{")
    with pytest.raises(ConfigurationError, match="restart the platform"):
        DataDirectory(tmp_path).read_up()


@pytest.mark.parametrize("name", ["file", "file/below"])
async def test_a_file_is_no_data_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="it is a file; name a directory"):
        async with DataDirectory(tmp_path / name).lock():
            pytest.fail("a file was locked as a directory")


def test_looking_at_a_directory_leaves_nothing_in_it(tmp_path: Path) -> None:
    assert not DataDirectory(tmp_path / "none").exists()
    assert list(tmp_path.iterdir()) == []


def test_the_clock_is_the_one_that_stamps_the_files(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.create()

    def stamp(name: str) -> datetime:
        (directory.buckets / name).touch()
        return datetime.fromtimestamp((directory.buckets / name).stat().st_ctime, UTC)

    before = stamp("before")
    now = directory.storage_time()
    assert before <= now <= stamp("after")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["buckets", "jobs", "staging"]
