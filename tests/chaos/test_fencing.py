"""Whatever is killed or frozen during a script, at no moment do two scripts of one execution run."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from oscar_events.cli.exit_codes import ExitCode
from tests.acceptance.platform import DEADLINE_S
from tests.chaos.checker import check
from tests.chaos.processes import frozen
from tests.chaos.scene import Scene
from tests.waiting import wait_until

# The first attempt takes 20 s, so that nobody can be about to end by himself; those after it a second, in which an
# earlier one that still lives has twenty chances to say so.
LONG = 'if [ "$OSCAR_EVENTS_ATTEMPT" = 1 ]; then live 400; else live 20; fi\n'
# A child of the script that lives for ever and says so in its name, as a group of its own by `setsid`; by `env -i` also
# without anything that says whose it is, but the lock it inherited.
ASTRAY = """\
me="$OSCAR_EVENTS_EXECUTION $OSCAR_EVENTS_ATTEMPT $SCRIPT"
%s sh -c 'while :; do echo "$1 astray" >>"$0"; sleep 0.05; done' "$JOURNAL" "$me" &
"""
CHILDREN = {
    "a script": "",
    "a script with a child that left its session": ASTRAY % "setsid",
    "a script with a child that left its session and environment": ASTRAY % "env -i setsid",
}


@pytest.fixture(params=list(CHILDREN.values()), ids=list(CHILDREN))
async def running(scene: Scene, request: pytest.FixtureRequest) -> Scene:
    """A platform in the middle of a script that takes 20 s."""
    await _run(scene, request.param)
    return scene


async def _run(scene: Scene, child: str = "") -> None:
    await scene.up.begin_ready()
    await scene.apply(child + LONG)
    scene.drop("long", b"long")
    await wait_until(lambda: scene.journal.count("astray" if child else "alive"), "script and child live")


async def _kill_main(scene: Scene) -> None:
    scene.up.kill()
    await scene.up.begin()


async def _kill_worker(scene: Scene) -> None:
    os.kill(_busy_worker(scene), signal.SIGKILL)


@pytest.mark.parametrize("kill", [_kill_main, _kill_worker])
async def test_a_kill_during_a_script_ends_it_before_it_is_started_again(
    running: Scene, kill: Callable[[Scene], Awaitable[None]]
) -> None:
    await kill(running)
    await _ends_right(running, starts=2)


async def test_a_frozen_worker_and_its_script_are_dead_before_the_next_platform_starts_it_again(
    running: Scene,
) -> None:
    with frozen(_busy_worker(running)):
        await _kill_main(running)
        await running.all_ended()
    await _ends_right(running, starts=2)


async def test_a_frozen_platform_keeps_its_directory_and_goes_on_where_it_was(scene: Scene) -> None:
    """The script ends meanwhile, after the scheduler's role could have been taken from one who sleeps so long."""
    await _run(scene)
    with frozen(scene.up.pid):
        second = scene.up.another()
        second.launch()
        assert await second.end() == ExitCode.UNAVAILABLE
        await wait_until(lambda: not scene.journal.open(), "the script ends", DEADLINE_S)
    await _ends_right(scene, starts=1)


async def _ends_right(scene: Scene, starts: int) -> None:
    await scene.all_ended()
    evidence = await scene.evidence()
    assert check(evidence) == []
    assert len(evidence.scripts) == starts


def _busy_worker(scene: Scene) -> int:
    [worker] = scene.up.busy_workers()
    return worker
