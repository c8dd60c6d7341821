"""Sending again is killed half-way, the command and the platform, and still each is sent once and none is forgotten."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

from oscar_events import codec
from oscar_events.bus.port import EVENTS, QUARANTINE
from oscar_events.bus.sqlite import SqliteBus
from oscar_events.event import StorageEvent
from oscar_events.quarantine import quarantine_record
from tests.acceptance.platform import COMMAND, DEADLINE_S, clean_environment
from tests.chaos.scene import BUCKET, Scene
from tests.chaos.test_crash import SEED
from tests.contracts.ledger.making import file_event
from tests.waiting import wait_until

KILLS_OF_EACH = 5
LETTERS = 300
# Small steps, a few of them a second: enough moments to be killed at.
RATE = 40
RECORDS = 300
# Some twenty batches of 256.
REPLAYED = 5_000
# For hundreds of runs on two cores shared with other tests.
_ALL_RUN_S = 3 * DEADLINE_S


def _random() -> Random:
    seed = int(os.environ.get(SEED, Random().randrange(2**32)))
    print(f"{SEED}={seed}", file=sys.stderr)
    return Random(seed)


def _seen_now(count: int) -> list[StorageEvent]:
    """Return events that are young enough to stay in the log."""
    now = datetime.now(UTC)
    return [replace(file_event(f"in/{number}".encode()), bucket=BUCKET, recorded=now) for number in range(count)]


async def _command(scene: Scene, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        COMMAND,
        "--data",
        scene.up.data,
        *arguments,
        env=clean_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _done(scene: Scene, *arguments: str) -> str:
    """Run a command to its end; return what it printed."""
    process = await _command(scene, *arguments)
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return out.decode()


async def _kill_half_way(scene: Scene, random: Random, victim: str, *arguments: str) -> bool:
    """Kill the command or the platform some time after the command began to tell; return whether it was at work."""
    process = await _command(scene, *arguments)
    assert process.stdout is not None
    assert await process.stdout.readline()
    await asyncio.sleep(random.uniform(0, 0.5))  # no wait for anything: the moment itself
    was_at_work = process.returncode is None
    if victim == "platform":
        scene.up.kill()
        await process.communicate()
        await scene.up.begin_ready()
    elif was_at_work:
        process.kill()
        await process.communicate()
    return was_at_work


async def test_dead_letters_sent_again_through_ten_kills_each_run_once_more(scene: Scene) -> None:
    random = _random()
    mended = scene.journal.path.with_name("mended")
    await scene.up.begin_ready()
    await scene.apply(f'test -e "{mended}" || exit 3\n')
    for number in range(LETTERS):
        scene.drop(f"{number:04}", b"x")
    await wait_until(lambda: _count_dead(scene, LETTERS), "every run is dead", _ALL_RUN_S)
    letters = {run["id"] for run in scene.up.runs("--state", "dead")}
    mended.touch()

    redrive = ("deadletters", "redrive", "--all", "--rate", f"{RATE}/s")
    hits = 0
    for victim in random.sample(["command", "platform"] * KILLS_OF_EACH, 2 * KILLS_OF_EACH):
        hits += await _kill_half_way(scene, random, victim, *redrive)
    await _done(scene, "deadletters", "redrive", "--all")
    assert hits >= KILLS_OF_EACH
    assert "No dead letters." in await _done(scene, "deadletters", "list")

    await wait_until(lambda: len(scene.results()) == LETTERS, "every result is there", _ALL_RUN_S)
    await scene.all_ended()
    again = [run for run in scene.up.runs() if run["redrive_of"] is not None]
    assert Counter(run["redrive_of"] for run in again) == Counter(letters)
    assert {run["state"] for run in again} == {"succeeded"}


async def test_the_quarantine_sent_again_without_a_platform_through_five_kills_gives_each_event_once(
    scene: Scene,
) -> None:
    random = _random()
    kept = _seen_now(RECORDS)
    await scene.up.begin_ready()
    await scene.apply("")
    assert scene.up.stop(signal.SIGTERM) == 0
    async with SqliteBus(scene.up.directory.log_db) as bus:
        values = [codec.encode(event).value for event in kept]
        at = datetime.now(UTC)
        await bus.publish(QUARANTINE, [quarantine_record(value, f"{EVENTS}/0@1", "newer", at) for value in values])

    redrive = ("quarantine", "redrive", "--all", "--rate", f"{RATE}/s")
    hits = 0
    for _ in range(KILLS_OF_EACH):
        hits += await _kill_half_way(scene, random, "command", *redrive)
    await _done(scene, "quarantine", "redrive", "--all")
    assert hits == KILLS_OF_EACH
    assert "Nothing in quarantine." in await _done(scene, "quarantine", "list")
    async with SqliteBus(scene.up.directory.log_db) as bus:
        starts = {partition: (await bus.offsets(partition))[0] for partition in await bus.partitions(EVENTS)}
        published = Counter(codec.decode(one.record.value).id for one in await bus.read(starts, 10 * RECORDS))
    assert published.keys() == {event.id for event in kept}
    # Killed between publishing a step and settling it, that step is published once more: the same ids, so no more runs.
    assert published.total() - len(published) <= KILLS_OF_EACH * RATE


async def test_a_replay_goes_on_through_ten_kills_and_claims_each_event_once(scene: Scene) -> None:
    random = _random()
    await scene.up.begin_ready()
    await scene.apply("live 100000\n")  # nothing of it ends meanwhile: what counts here is what is claimed
    assert scene.up.stop(signal.SIGTERM) == 0
    # Told before the platform's own service could take them, and for a service that is not there: a replay alone does.
    events = [replace(event, service_uids=("nobody",)) for event in _seen_now(REPLAYED)]
    async with SqliteBus(scene.up.directory.log_db) as bus:
        await bus.publish(EVENTS, [codec.encode(event) for event in events])

    first = ("replay", "--from", "1d", "--service", "sum")
    process = await _command(scene, *first)  # on the files: no platform runs
    await wait_until(lambda: _has_begun(scene), "the replay has begun", DEADLINE_S)
    process.kill()
    await process.communicate()
    hits = 0
    for number in range(2 * KILLS_OF_EACH):
        if number % 2:
            process = await _command(scene, "replay", "resume")
            await asyncio.sleep(random.uniform(0.2, 1.0))  # no wait for anything: the moment itself
            hits += process.returncode is None
            if process.returncode is None:
                process.kill()
            await process.communicate()
        else:
            await scene.up.begin()
            await asyncio.sleep(random.uniform(0, 0.2))
            [replay] = await scene.up.front.replays.page()
            hits += replay["ended_at"] is None
            scene.up.kill()
    await scene.up.begin_ready()
    await _done(scene, "replay", "resume")
    [replay] = await scene.up.front.replays.page()
    assert [replay[name] for name in ("read", "matched", "made", "there", "left", "reason")] == [
        REPLAYED,
        REPLAYED,
        REPLAYED,
        0,
        0,
        "",
    ]
    assert hits >= KILLS_OF_EACH
    assert Counter(run["key"] for run in scene.up.runs()) == Counter(event.key.decode() for event in events)


async def test_a_replay_that_is_stopped_by_ctrl_c_says_how_it_goes_on_and_does(scene: Scene) -> None:
    await scene.up.begin_ready()
    await scene.apply("")
    assert scene.up.stop(signal.SIGTERM) == 0
    async with SqliteBus(scene.up.directory.log_db) as bus:
        await bus.publish(EVENTS, [codec.encode(event) for event in _seen_now(REPLAYED)])
    process = await _command(scene, "replay", "--from", "1h", "--service", "sum")
    await wait_until(lambda: _has_begun(scene), "the replay has begun", DEADLINE_S)
    process.send_signal(signal.SIGINT)
    _, error = await process.communicate()
    assert process.returncode == 130
    assert b"is not lost" in error
    resumed = json.loads(await _done(scene, "replay", "resume", "--json"))
    assert (resumed["made"], resumed["left"]) == (REPLAYED, 0)


async def _count_dead(scene: Scene, count: int) -> bool:
    await asyncio.sleep(0.2)  # a list of hundreds of runs costs the platform more than a run
    return len(await scene.up.front.runs(state="dead")) == count


async def _has_begun(scene: Scene) -> bool:
    """Return whether a command that has the files open wrote a replay into the ledger."""
    with closing(sqlite3.connect(f"file:{scene.up.directory.ledger_db}?mode=ro", uri=True)) as ledger:
        return bool(ledger.execute("SELECT 1 FROM replays").fetchone())
