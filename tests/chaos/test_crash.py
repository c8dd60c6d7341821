"""Killed at any moment and started again, the platform loses nothing and runs nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from random import Random

import pytest

from tests.acceptance.platform import DEADLINE_S
from tests.chaos.checker import Evidence, Finding, Kind, check, wrong_results
from tests.chaos.journal import cut_off
from tests.chaos.scene import Scene
from tests.waiting import wait_until

SEED = "CHAOS_SEED"
FILES = 300
KILLS = 15
KILLS_OF_MAIN = 8
KILLS_WITH_A_SCRIPT = 10
# Scripts of 0.1 to 0.55 s that come ten a second: three run at a time, so most moments have one.
LIVE = 'live $((2 + $(cksum <"$INPUT_FILE_PATH" | cut -d " " -f 1) % 10))\n'
EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill. lines: how many the scripts' journal had just before."""

    of: str
    lines: int


async def test_300_files_through_15_kills_are_each_processed_once_and_right(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    await _kill_and_check(scene, capsys, int(os.environ.get(SEED, Random().randrange(2**32))))


@pytest.mark.long_chaos
@pytest.mark.parametrize("time", range(10))
async def test_the_same_goes_for_any_moments(scene: Scene, capsys: pytest.CaptureFixture[str], time: int) -> None:
    await _kill_and_check(scene, capsys, Random().randrange(2**32))


async def _kill_and_check(scene: Scene, capsys: pytest.CaptureFixture[str], seed: int) -> None:
    print(f"{SEED}={seed}", file=sys.stderr)
    random = Random(seed)
    await scene.up.begin()
    await scene.apply(LIVE)
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.drop_many(FILES, Random(seed), EVERY_S))
        kills = await _kill_often(scene, random)
    await scene.all_ended()
    evidence = await scene.evidence()
    findings = check(evidence)
    hits = sum(count > 0 for count in cut_off(scene.journal.scripts(), [kill.lines for kill in kills]))
    with capsys.disabled():
        print(_summary(seed, kills, hits, evidence, findings), file=sys.stderr)
    assert findings == []
    assert hits >= KILLS_WITH_A_SCRIPT
    assert scene.up.stop(signal.SIGTERM) == 0


async def test_a_kill_between_the_end_of_a_run_and_the_removal_of_its_directory_leaves_nothing(scene: Scene) -> None:
    await scene.up.begin_ready("killed before forgetting")
    await scene.apply("")
    scene.drop("ended", b"ended")
    assert await scene.up.end() == -signal.SIGKILL
    await scene.up.begin_ready()
    await scene.flush()
    assert check(await scene.evidence()) == []


async def _kill_often(scene: Scene, random: Random) -> list[Kill]:
    """Kill at moments spread over the work: after so many starts, and a little later."""
    whom = ["main"] * KILLS_OF_MAIN + ["worker"] * (KILLS - KILLS_OF_MAIN)
    random.shuffle(whom)
    kills = []
    for of, starts in zip(whom, sorted(random.sample(range(2, FILES - 20), KILLS)), strict=True):
        await _started(scene, starts)
        if of == "worker":
            await wait_until(scene.up.workers, "there is a worker")
        await asyncio.sleep(random.uniform(0, 0.3))  # no wait for anything: the moment itself
        kills.append(Kill(of, scene.journal.lines))
        if of == "main":
            scene.up.kill()
            assert wrong_results(scene.dropped, scene.results()) == []  # nothing is ever half there
            await scene.up.begin()
        else:
            os.kill(random.choice(scene.up.busy_workers() or scene.up.workers()), signal.SIGKILL)
    return kills


async def _started(scene: Scene, scripts: int) -> None:
    await wait_until(lambda: scene.journal.count("start") >= scripts, f"{scripts} scripts have started", DEADLINE_S)


def _summary(seed: int, kills: list[Kill], hits: int, evidence: Evidence, findings: list[Finding]) -> str:
    succeeded = sum(run["state"] == "succeeded" for run in evidence.runs)
    rows = {
        "seed": seed,
        "files dropped": len(evidence.dropped),
        "runs succeeded": succeeded,
        "kills of the main process": sum(kill.of == "main" for kill in kills),
        "kills of a worker": sum(kill.of == "worker" for kill in kills),
        "kills with a script running": hits,
        "scripts started": len(evidence.scripts),
        "scripts started again": evidence.restarts,
    }
    wrong = {kind.value: sum(finding.kind is kind for finding in findings) for kind in Kind}
    return "\n" + "\n".join(f"  {name:<28}{value:>12}" for name, value in {**rows, **wrong}.items())
