"""Every tool people bring files with: each file is one event, whether ingest was up or down when it came."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from oscar_events.bus.memory import MemoryBus
from oscar_events.event import StorageEvent
from oscar_ingest.app import Ingest, IngestSettings
from tests.unit.oscar_ingest.doubles import CatalogueDouble, all_events, listed, reconciled, running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")

OLD_NS = 1_600_000_000_000_000_000  # 2020: files from a camera, an archive or a colleague bring old times along
NAMES = [f"{number}.dat" for number in range(5)]


def run(*command: str | Path, cwd: Path | None = None) -> None:
    if shutil.which(str(command[0])) is None:
        assert os.environ.get("CI") != "true", f"CI has to have {command[0]}"
        pytest.skip(f"the command {command[0]} is not there")
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)


def move(source: Path, bucket: Path) -> None:
    run("mv", *source.iterdir(), bucket)


def copy_with_times(source: Path, bucket: Path) -> None:
    run("cp", "-p", *source.iterdir(), bucket)


def copy2(source: Path, bucket: Path) -> None:
    for path in source.iterdir():
        shutil.copy2(path, bucket)


def unzip(source: Path, bucket: Path) -> None:
    run("zip", "-q", "files.zip", *NAMES, cwd=source)
    run("unzip", "-q", source / "files.zip", "-d", bucket)


def untar(source: Path, bucket: Path) -> None:
    run("tar", "-cf", "files.tar", *NAMES, cwd=source)
    run("tar", "-xf", source / "files.tar", cwd=bucket)


def rsync(source: Path, bucket: Path) -> None:
    run("rsync", "-a", f"{source}/", bucket)


def hard_link(source: Path, bucket: Path) -> None:
    for path in source.iterdir():
        os.link(path, bucket / path.name)


def move_folder(source: Path, bucket: Path) -> None:
    source.rename(bucket / "folder")


# Those that close a file and set its time only then: a look in between sees a newer time. The claim drops the second
# event of such a pair: same path, inode and size with an older time is the same version (design §3.2).
SET_TIMES_AFTER = {copy2, unzip, untar, copy_with_times}
TOOLS = [move, copy_with_times, copy2, unzip, untar, rsync, hard_link, move_folder]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Files with old times, outside of the buckets."""
    source = tmp_path / "source"
    source.mkdir()
    for number, name in enumerate(NAMES):
        (source / name).write_bytes(b"x" * (1000 + number))
        os.utime(source / name, ns=(OLD_NS, OLD_NS))
    return source


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    bucket = tmp_path / "buckets" / "pics"
    bucket.mkdir(parents=True)
    return bucket


def versions(found: list[StorageEvent]) -> dict[str, list[StorageEvent]]:
    by_name: dict[str, list[StorageEvent]] = defaultdict(list)
    for event in found:
        if event.id not in {before.id for before in by_name[event.name.decode()]}:
            by_name[event.name.decode()].append(event)
    return by_name


def assert_each_file_once(found: list[StorageEvent], *, times_after: bool) -> None:
    by_name = versions(found)
    assert sorted(by_name) == NAMES
    for one, *more in by_name.values():
        assert len(more) <= times_after
        for second in more:
            assert (second.file_id, second.size) == (one.file_id, one.size)
            assert (second.modified_ns or 0) < (one.modified_ns or 0)
    # Whoever reads the file now reads what the events speak of, whole.
    assert {event.size for event in found} == {1000 + number for number in range(len(NAMES))}


@pytest.mark.parametrize("tool", TOOLS)
async def test_each_file_is_one_event_while_ingest_is_up(
    tool: Callable[[Path, Path], None], source: Path, bucket: Path
) -> None:
    bus, catalogue = MemoryBus(), CatalogueDouble(reconciled("u", "pics"))
    ingest = Ingest(bus, catalogue, IngestSettings(bucket.parent))
    async with running(ingest):
        tool(source, bucket)
        assert_each_file_once(await all_events(bus, bucket), times_after=tool in SET_TIMES_AFTER)
        # Listings, which see the times as they are in the end, add nothing but the second event of such a pair.
        await listed(ingest, catalogue)
        assert_each_file_once(await all_events(bus, bucket), times_after=tool in SET_TIMES_AFTER)


@pytest.mark.parametrize("tool", TOOLS)
async def test_each_file_is_one_event_if_it_came_while_ingest_was_down(
    tool: Callable[[Path, Path], None], source: Path, bucket: Path
) -> None:
    bus = MemoryBus()
    tool(source, bucket)
    for _ in range(2):  # started again, the second knows nothing of what the first published: the same ids
        async with running(Ingest(bus, CatalogueDouble(reconciled("u", "pics")), IngestSettings(bucket.parent))):
            found = await all_events(bus, bucket)
    assert {event.service_uids for event in found} == {("u",)}
    assert_each_file_once(found, times_after=False)
