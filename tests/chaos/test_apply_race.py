"""A file dropped the moment after `apply` has answered is never missed, and never run twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from oscar_events.cli.client import FrontClient
from tests.chaos.scene import Scene
from tests.waiting import wait_until

SERVICES = 1_000
# A run takes some 20 ms of a core; the machine may be busy with other tests.
DEADLINE_S = 180.0


async def test_1000_times_a_file_dropped_right_after_apply_is_run_once(scene: Scene, tmp_path: Path) -> None:
    up = scene.up
    await up.begin_ready()
    front, buckets = up.front, up.directory.buckets
    starts = tmp_path / "starts"
    for number in range(SERVICES):
        await front.apply([_service(number, starts)])
        scene.outside("file", b"x").rename(buckets / "race" / f"in-{number}" / "file")
    expected = Counter({str(number): 1 for number in range(SERVICES)})
    await wait_until(lambda: _have_succeeded(front), "all succeed", DEADLINE_S)
    assert Counter(starts.read_text().split()) == expected
    assert Counter(run["key"] for run in up.runs()) == Counter({f"in-{n}/file": 1 for n in range(SERVICES)})


async def _have_succeeded(front: FrontClient) -> bool:
    await asyncio.sleep(0.2)  # a list of 1,000 runs costs the platform more than a run
    return len(await front.runs(state="succeeded")) == SERVICES


def _service(number: int, starts: Path) -> dict[str, object]:
    return {
        "name": f"race-{number}",
        "image": "docker.io/library/busybox",
        "script": f'echo {number} >>"$STARTS"\n',
        "input": [{"storage_provider": "local.default", "path": f"race/in-{number}"}],
        "environment": {"variables": {"STARTS": str(starts)}},
    }
