"""Backfills: what lay in a service's inputs before it was there, run once, at the pace somebody wants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from oscar_events.bus.memory import MemoryBus
from oscar_events.cli.client import FrontClient
from oscar_events.config import PlatformConfig
from oscar_events.datadir import DataDirectory, Up
from oscar_events.errors import ConfigurationError, ConflictError, NotFoundError, UnavailableError
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.tables import executions, queue, services
from oscar_events.manager.backfill import STEP, Listing
from oscar_events.manager.control import Control
from oscar_events.manager.laptop import laptop_control
from oscar_ingest.listings.folder import FolderLister
from oscar_ingest.listings.s3 import S3Lister


@pytest.fixture
def control(ledger: Ledger, bus: MemoryBus, directory: DataDirectory, woken: list[str]) -> Control:
    def listings() -> Sequence[Listing]:
        return [FolderLister(directory.buckets)]

    return laptop_control(ledger, bus, directory, PlatformConfig(), lambda: woken.append("woken"), listings=listings)


@pytest.fixture
def inside(directory: DataDirectory) -> Path:
    inside = directory.buckets / "pics" / "in"
    inside.mkdir(parents=True)
    return inside


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


async def whole(asked: Any, most: int = STEP, **wish: Any) -> dict[str, Any]:
    """Have a backfill of `blur` brought to its end."""
    found = await asked.begin("blur", **wish)
    while not found["ended"]:
        found = await asked.advance(found["id"], most)
    return dict(found)


async def runs(ledger: Ledger) -> int:
    def count(connection: Connection) -> tuple[int, int]:
        made = connection.scalar(select(func.count()).select_from(executions)) or 0
        return made, connection.scalar(select(func.count()).select_from(queue)) or 0

    made, queued = await ledger.read(count)
    assert made == queued
    return made


async def test_what_was_there_before_is_run_once(
    control: Control, ledger: Ledger, inside: Path, blur: dict[str, Any], woken: list[str]
) -> None:
    fill(inside, "a", "b/c", "../elsewhere")
    await control.apply([blur])
    found = await whole(control.backfills)
    assert [found[name] for name in ("listed", "matched", "made", "there")] == [2, 2, 2, 0]
    assert await runs(ledger) == 2
    assert woken
    fill(inside, "new")
    found = await whole(control.backfills)
    assert [found[name] for name in ("listed", "matched", "made", "there")] == [3, 3, 1, 2]
    assert await runs(ledger) == 3


async def test_a_dry_run_counts_and_does_nothing(
    control: Control, ledger: Ledger, inside: Path, blur: dict[str, Any], woken: list[str]
) -> None:
    fill(inside, "a", "b")
    await control.apply([blur])
    found = await whole(control.backfills, dry_run=True)
    assert [found[name] for name in ("matched", "made", "there")] == [2, 2, 0]
    assert await runs(ledger) == 0
    await whole(control.backfills)
    found = await whole(control.backfills, dry_run=True)
    assert [found[name] for name in ("matched", "made", "there")] == [2, 0, 2]


@pytest.mark.parametrize(
    ("prefix", "keys"),
    [("", 4), ("in", 4), ("in/", 4), ("in/2024/", 2), ("in/2024/a", 1), ("in/20", 3), ("other/", 0), ("in/b/x", 0)],
)
async def test_a_prefix_is_of_the_whole_key(
    control: Control, inside: Path, blur: dict[str, Any], prefix: str, keys: int
) -> None:
    fill(inside, "2024/a", "2024/b", "2025/a", "b")
    await control.apply([blur])
    found = await whole(control.backfills, prefix=prefix, dry_run=True)
    assert (found["listed"], found["matched"]) == (keys, keys)


async def test_only_what_came_since_a_time_and_only_what_the_service_wants(
    control: Control, inside: Path, blur: dict[str, Any]
) -> None:
    fill(inside, "a.png", "b.txt")
    blur["input"][0]["suffix"] = [".png"]
    await control.apply([blur])
    found = await whole(control.backfills, dry_run=True)
    assert (found["listed"], found["matched"]) == (2, 1)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert (await whole(control.backfills, since=later, dry_run=True))["listed"] == 0


async def test_it_goes_no_further_at_a_time_than_is_asked(
    control: Control, ledger: Ledger, inside: Path, blur: dict[str, Any]
) -> None:
    fill(inside, *map(str, range(25)))
    await control.apply([blur])
    begun = await control.backfills.begin("blur")
    for expected in (10, 20, 25):
        found = await control.backfills.advance(begun["id"], 10)
        assert (found["made"], await runs(ledger)) == (expected, expected)
    assert found["ended"]


async def test_one_that_was_stopped_is_begun_again_and_doubles_nothing(
    control: Control, ledger: Ledger, inside: Path, blur: dict[str, Any]
) -> None:
    fill(inside, *map(str, range(25)))
    await control.apply([blur])
    begun = await control.backfills.begin("blur")
    await control.backfills.advance(begun["id"], 10)
    control.backfills._open.clear()  # as after a restart
    with pytest.raises(NotFoundError, match="begin it again"):
        await control.backfills.advance(begun["id"])
    found = await whole(control.backfills)
    assert (found["made"], found["there"], await runs(ledger)) == (15, 10, 25)


async def test_as_new_everything_runs_once_more_and_is_resumed_by_its_id(
    control: Control, ledger: Ledger, inside: Path, blur: dict[str, Any]
) -> None:
    fill(inside, *map(str, range(6)))
    await control.apply([blur])
    await whole(control.backfills)
    begun = await control.backfills.begin("blur", as_new=True)
    await control.backfills.advance(begun["id"], 4)
    assert await runs(ledger) == 6 + 4
    found = await whole(control.backfills, as_new=True, resume=begun["id"])
    assert (found["made"], found["there"], await runs(ledger)) == (2, 4, 12)
    assert (await whole(control.backfills, as_new=True))["made"] == 6


async def test_an_old_service_is_backfilled_only_as_new(
    control: Control, ledger: Ledger, inside: Path, blur: dict[str, Any]
) -> None:
    fill(inside, "a")
    await control.apply([blur])
    await ledger.write(lambda c: c.execute(update(services).values(created_at=services.c.created_at - 60 * 86_400_000)))
    with pytest.raises(ConflictError, match="--as-new"):
        await control.backfills.begin("blur")
    assert (await whole(control.backfills, as_new=True))["made"] == 1


@pytest.mark.parametrize(
    ("wish", "error", "told"),
    [
        ({"service": "nobody"}, NotFoundError, "no service 'nobody'"),
        ({"resume": "0123456789"}, ConfigurationError, "--as-new"),
        ({"resume": "0123456789", "as_new": True}, NotFoundError, "no run of a backfill"),
        ({"resume": "%", "as_new": True}, NotFoundError, "no run of a backfill"),
        ({"service": "away"}, ConfigurationError, "minio.other, which this platform cannot list"),
        ({"service": "messages"}, ConfigurationError, "no input"),
    ],
)
async def test_what_cannot_be_backfilled_is_said(
    control: Control, blur: dict[str, Any], wish: dict[str, Any], error: type[Exception], told: str
) -> None:
    away = {
        **blur,
        "name": "away",
        "input": [{"storage_provider": "minio.other", "path": "b"}],
        "storage_providers": {"minio": {"other": {"endpoint": "http://x", "access_key": "a", "secret_key": "b"}}},
    }
    await control.apply([blur, away, {**blur, "name": "messages", "input": []}])
    with pytest.raises(error, match=told):
        await control.backfills.begin(**{"service": "blur", **wish})


async def test_those_nobody_goes_on_with_are_let_go(control: Control, inside: Path, blur: dict[str, Any]) -> None:
    await control.apply([blur])
    first, *_, last = [await control.backfills.begin("blur") for _ in range(9)]
    with pytest.raises(NotFoundError):
        await control.backfills.advance(first["id"])
    assert (await control.backfills.advance(last["id"]))["ended"]


async def test_a_file_whose_path_is_no_key_is_told(control: Control, inside: Path, blur: dict[str, Any]) -> None:
    fill(inside, "/".join(["n" * 250] * 5))
    await control.apply([blur])
    found = await whole(control.backfills)
    (refused,) = found["refused"]
    assert "1024 at most" in refused
    assert found["made"] == 0


async def test_the_same_over_http(control: Control, ledger: Ledger, up: Up, inside: Path, blur: dict[str, Any]) -> None:
    fill(inside, "a", "b")
    await control.apply([blur])
    found = await whole(FrontClient(up).backfills, prefix="in/a", since=datetime(2026, 1, 1, tzinfo=UTC))
    assert (found["made"], await runs(ledger)) == (1, 1)
    with pytest.raises(NotFoundError):
        await FrontClient(up).backfills.begin("nobody")
    with pytest.raises(ConfigurationError):
        await FrontClient(up).backfills.advance("x", 0)


async def test_a_store_that_is_away_is_told_to_whoever_asks(
    ledger: Ledger, bus: MemoryBus, directory: DataDirectory, blur: dict[str, Any]
) -> None:
    settings = {"type": "minio", "endpoint": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b"}
    store = S3Lister("minio.own", settings, timedelta(0))
    control = laptop_control(ledger, bus, directory, PlatformConfig(), listings=lambda: [store])
    blur["input"][0]["storage_provider"] = "minio.own"
    blur["storage_providers"] = {"minio": {"own": {name: settings[name] for name in settings if name != "type"}}}
    await control.apply([blur])
    begun = await control.backfills.begin("blur")
    with pytest.raises(UnavailableError, match="the server is away"):
        await control.backfills.advance(begun["id"])
