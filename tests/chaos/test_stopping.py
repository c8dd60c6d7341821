"""SIGTERM lets scripts finish, a second one does not; what it cut off runs once more at the next start."""

from __future__ import annotations

import asyncio
import os
import signal

from tests.chaos.checker import check
from tests.chaos.scene import Scene
from tests.waiting import wait_until

SLOTS = 4  # of killable.py


async def test_the_first_signal_lets_running_scripts_finish_and_starts_no_more(scene: Scene) -> None:
    await _begin(scene, "live 40\n", files=SLOTS + 2)
    os.kill(scene.up.pid, signal.SIGTERM)
    assert await scene.up.end() == 0
    assert [script.has_ended for script in scene.journal.scripts()] == [True] * SLOTS
    await _ends_right(scene, starts=SLOTS + 2)


async def test_the_second_signal_ends_at_once_and_what_it_cut_off_runs_once_more(scene: Scene) -> None:
    await _begin(scene, 'if [ "$OSCAR_EVENTS_ATTEMPT" = 1 ]; then live 400; else live 1; fi\n', files=SLOTS)
    os.kill(scene.up.pid, signal.SIGTERM)
    await wait_until(lambda: "stopping" in scene.up.log.read_text(), "the first signal is obeyed")
    os.kill(scene.up.pid, signal.SIGTERM)
    async with asyncio.timeout(5):  # far from the 10 s of a drain and the 20 s of the scripts
        assert await scene.up.end() == 0
    assert [script.has_ended for script in scene.journal.scripts()] == [False] * SLOTS
    await _ends_right(scene, starts=2 * SLOTS)


async def _begin(scene: Scene, script: str, files: int) -> None:
    await scene.up.begin_ready()
    await scene.apply(script)
    for number in range(files):
        scene.drop(str(number), bytes([number]))
    await wait_until(lambda: len(scene.journal.open()) == SLOTS, "all slots are taken")


async def _ends_right(scene: Scene, starts: int) -> None:
    await scene.up.begin()
    await scene.all_ended()
    evidence = await scene.evidence()
    assert check(evidence) == []
    assert len(evidence.scripts) == starts
