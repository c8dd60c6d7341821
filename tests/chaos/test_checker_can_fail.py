"""The checker notices what it is there for: each fault beside the same run of the product as it is."""

from __future__ import annotations

import os
import signal

import pytest

from tests.chaos.checker import Kind, check
from tests.chaos.processes import frozen
from tests.chaos.scene import Scene
from tests.waiting import wait_until


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (["position before the claim", "no reconciler"], ["no reconciler"], {Kind.LOST, Kind.WRONG_RESULT}),
        (["killed before the claim", "no reconciler"], ["no reconciler"], set()),
        (["position before the claim"], [], set()),  # the second net holds: the listing at the start finds the file
    ],
)
async def test_a_position_stored_before_the_claim_loses_the_file_that_a_kill_falls_between(
    scene: Scene, first: list[str], then: list[str], expected: set[Kind]
) -> None:
    await scene.up.begin()
    await scene.apply("")
    scene.up.kill()
    await scene.up.begin_ready(*first)
    scene.drop("between", b"between")
    assert await scene.up.end() == -signal.SIGKILL
    await scene.up.begin_ready(*then)
    await scene.flush()
    assert await _found(scene) == expected


@pytest.mark.parametrize(
    ("faults", "expected"),
    [(["hash without lengths"], {Kind.LOST, Kind.WRONG_RESULT}), ([], set())],
)
async def test_a_hash_without_lengths_loses_one_of_two_files_that_differ_in_where_fields_end(
    scene: Scene, faults: list[str], expected: set[Kind]
) -> None:
    await scene.up.begin_ready(*faults)
    await scene.apply("")
    _drop_two_alike(scene)
    await scene.flush()
    assert await _found(scene) == expected


def _drop_two_alike(scene: Scene) -> None:
    """Drop two files whose path, inode, size and time (nanoseconds) are the same digits, one after the other.

    The first one's name ends with the second one's inode; the first one's inode, size and time, read on from there,
    are the second one's size and time.
    """
    first, second = scene.outside("first", b"0123456789"), scene.outside("second", b"")
    inode = str(first.stat().st_ino)
    size = next(end for end in range(1, len(inode) + 1) if inode[end:][:1] != "0")  # a number begins with no zero
    assert int(inode[:size]) <= 10_000_000, "too large a file for a test"
    second.write_bytes(b"x" * int(inode[:size]))
    os.utime(first, ns=(1, 1))
    time = int(f"{inode[size:]}{first.stat().st_size}{1}")
    os.utime(second, ns=(time, time))
    scene.move_in(first, f"pair{second.stat().st_ino}")
    scene.move_in(second, "pair")


@pytest.mark.parametrize(("faults", "expected"), [(["exit code ignored"], {Kind.WRONG_RESULT}), ([], set())])
async def test_an_ignored_exit_code_makes_a_success_of_a_script_that_wrote_nothing(
    scene: Scene, faults: list[str], expected: set[Kind]
) -> None:
    await scene.up.begin_ready(*faults)
    await scene.apply('if [ "$OSCAR_EVENTS_ATTEMPT" = 1 ]; then say end; exit 1; fi\n', max_attempts=2)
    await scene.flush()
    assert await _found(scene) == expected


@pytest.mark.parametrize(("faults", "expected"), [(["no fence"], {Kind.SIMULTANEOUS}), ([], set())])
async def test_without_the_fence_two_scripts_of_one_execution_run_at_the_same_time(
    scene: Scene, faults: list[str], expected: set[Kind]
) -> None:
    await scene.up.begin_ready(*faults)
    await scene.apply("live 100\n")  # 5 s: longer than a restart
    scene.drop("long", b"long")
    await wait_until(lambda: scene.journal.open(), "the script runs")
    [worker] = scene.up.busy_workers()
    with frozen(worker):
        scene.up.kill()
        await scene.up.begin(*faults)
        await scene.all_ended()
    assert await _found(scene) == expected


@pytest.mark.parametrize(("faults", "expected"), [(["claim under any name"], {Kind.DOUBLED}), ([], set())])
async def test_a_claim_under_any_name_runs_a_file_again_that_is_listed_again(
    scene: Scene, faults: list[str], expected: set[Kind]
) -> None:
    await scene.up.begin_ready(*faults)
    await scene.apply("")
    scene.drop("once", b"once")
    await scene.all_ended()
    scene.up.kill()
    await scene.up.begin_ready(*faults)
    await scene.flush()
    assert await _found(scene) == expected


async def _found(scene: Scene) -> set[Kind]:
    findings = check(await scene.evidence())
    print(*findings, sep="\n")
    return {finding.kind for finding in findings}
