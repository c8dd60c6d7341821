"""The process backend when things die: real workers, real scripts, real kills."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oscar_dispatcher.backends import local_process, slot
from oscar_dispatcher.backends.local_process import ProcessBackend
from oscar_dispatcher.backends.port import BackendUnavailableError, LiveAttempt, SubmissionRejectedError
from oscar_events.holder import EXECUTION_VARIABLE, HOST_NAME, SPARE_PREFIX, decode_holder
from oscar_events.job import Job, Outcome
from tests.contracts.backend import denied, end_of, granted
from tests.waiting import DEADLINE_S, wait_until


def job(execution: str, script: str, attempt: int = 1, timeout_s: float = 60) -> Job:
    return Job(
        instance="instance",
        execution=execution,
        attempt=attempt,
        nonce="nonce",
        tenant="tenant",
        service="service",
        script=script,
        event=b"{}",
        event_id="event",
        event_time="2026-01-02T03:04:05Z",
        timeout_s=timeout_s,
    )


def processes_of(execution: str) -> list[int]:
    """Return every process that carries the execution's id and is no zombie."""
    entry = f"{EXECUTION_VARIABLE}={execution}".encode()
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and entry in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


class Place:
    """Where a backend keeps its files, and what its scripts tell a test."""

    def __init__(self, directory: Path) -> None:
        self.jobs = directory / "jobs"
        self.marks = directory

    def backend(self, workers: int = 2) -> ProcessBackend:
        return ProcessBackend(self.jobs, workers)

    def worker_of(self, execution: str) -> int:
        holder = decode_holder((self.jobs / execution / "lock").read_bytes())
        assert holder is not None
        return holder.worker.pid

    async def exist(self, *names: str) -> None:
        async def all_exist() -> bool:
            return all((self.marks / name).exists() for name in names)

        await wait_until(all_exist, "the files of the scripts")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def backend(place: Place) -> AsyncIterator[ProcessBackend]:
    async with place.backend() as backend:
        yield backend


ESCAPING = "trap '' TERM; (setsid sleep 60 </dev/null >/dev/null 2>&1 &); touch {marks}/up; sleep 60"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_when_a_worker_dies_nothing_of_its_execution_lives_at_the_end(
    backend: ProcessBackend, place: Place, how: signal.Signals
) -> None:
    await backend.submit(job("one", ESCAPING.format(marks=place.marks)), granted)
    await place.exist("up")
    await wait_until(lambda: len(processes_of("one")) >= 3, "the script and the one that left it")
    os.kill(place.worker_of("one"), how)
    end = await end_of(backend, "one")
    assert processes_of("one") == []
    assert (end.report, end.reason) == (None, "its worker died")


async def test_a_worker_that_died_is_replaced(backend: ProcessBackend, place: Place) -> None:
    await backend.submit(job("one", f"touch {place.marks}/up; sleep 60"), granted)
    await place.exist("up")
    os.kill(place.worker_of("one"), signal.SIGKILL)
    await end_of(backend, "one")
    assert await backend.submit(job("one", "echo again", attempt=2), granted)
    assert (await end_of(backend, "one")).log == b"again\n"


async def test_a_worker_that_died_while_idle_is_replaced_unnoticed(place: Place) -> None:
    async with place.backend(workers=1) as backend:
        await backend.submit(job("one", f"grep PPid /proc/$$/status | tr -dc 0-9 > {place.marks}/worker"), granted)
        await end_of(backend, "one")
        os.kill(int((place.marks / "worker").read_text()), signal.SIGKILL)
        assert await backend.submit(job("two", "true"), granted)
        assert (await end_of(backend, "two")).report


async def test_workers_that_cannot_start_refuse_every_submit_and_leave_the_permit_alone(place: Place) -> None:
    async def permit() -> bool:
        raise AssertionError("nobody is there to use it")

    for python, reason in (("/bin/false", "nothing was started"), ("/nowhere/python", "no worker can be started")):
        async with ProcessBackend(place.jobs, workers=1, python=python) as backend:
            for _ in range(2):
                with pytest.raises(BackendUnavailableError, match=reason):
                    await backend.submit(job("one", "true"), permit)


async def test_a_worker_learns_which_authorities_are_trusted_and_its_script_does_not(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ca.pem")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "stays")
    async with place.backend(workers=1) as backend:
        await backend.submit(job("one", "tr '\\0' '\\n' < /proc/$PPID/environ; echo ----; env"), granted)
        worker, _, script = (await end_of(backend, "one")).log.decode().partition("----")
    assert "SSL_CERT_FILE=/etc/ca.pem\n" in worker
    assert "SSL_CERT_FILE" not in script
    assert "AWS_SECRET_ACCESS_KEY" not in worker + script


async def test_two_workers_run_two_scripts_at_a_time(backend: ProcessBackend, place: Place) -> None:
    meet = "touch {0}/{1}; until [ -e {0}/{2} ]; do sleep 0.01; done"
    await backend.submit(job("one", meet.format(place.marks, "a", "b")), granted)
    await backend.submit(job("two", meet.format(place.marks, "b", "a")), granted)
    async with asyncio.timeout(DEADLINE_S):
        assert (await end_of(backend, "one")).report or (await end_of(backend, "two")).report


async def test_a_submit_waits_for_a_free_worker_and_asks_for_its_permit_only_then(place: Place) -> None:
    async with place.backend(workers=1) as backend:
        await backend.submit(job("one", f"until [ -e {place.marks}/go ]; do sleep 0.01; done"), granted)
        asked = asyncio.Event()

        async def permit() -> bool:
            asked.set()
            return True

        second = asyncio.create_task(backend.submit(job("two", "true"), permit))
        await asyncio.sleep(0)
        assert not asked.is_set()
        (place.marks / "go").touch()
        async with asyncio.timeout(DEADLINE_S):
            assert await second


async def test_a_cancel_that_comes_before_the_permit_ends_the_attempt_before_its_script(
    backend: ProcessBackend, place: Place
) -> None:
    async def permit() -> bool:
        await backend.cancel("one", 1)
        return True

    assert await backend.submit(job("one", f"touch {place.marks}/ran"), permit)
    end = await end_of(backend, "one")
    assert end.report is not None
    assert end.report.outcome is Outcome.CANCELLED
    assert not (place.marks / "ran").exists()


async def test_leaving_the_backend_ends_its_scripts_and_answers_every_submit(place: Place) -> None:
    async def never() -> bool:
        await asyncio.Event().wait()
        return True

    async with place.backend() as backend:
        await backend.submit(job("one", ESCAPING.format(marks=place.marks)), granted)
        await place.exist("up")
        asking = asyncio.create_task(backend.submit(job("two", "true"), never))
        queued = asyncio.create_task(backend.submit(job("three", "true"), granted))
        await asyncio.sleep(0)
    assert processes_of("one") == []
    for submit in (asking, queued):
        with pytest.raises(BackendUnavailableError, match="left"):
            await submit


async def test_an_error_inside_is_the_callers_own_and_not_a_group(place: Place) -> None:
    with pytest.raises(ZeroDivisionError):
        async with place.backend():
            raise ZeroDivisionError


DISPATCHER = """
import asyncio, pathlib, sys
from oscar_dispatcher.backends.local_process import ProcessBackend
from tests.unit.oscar_dispatcher.backends.test_local_process import granted, job

async def main(jobs, script):
    async with ProcessBackend(pathlib.Path(jobs), 1) as backend:
        await backend.submit(job("one", script), granted)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def dispatcher(place: Place, script: str) -> asyncio.subprocess.Process:
    """Start another dispatcher, which submits one attempt and waits."""
    arguments = (sys.executable, "-c", DISPATCHER, str(place.jobs), script)
    return await asyncio.create_subprocess_exec(*arguments)


async def test_a_dispatcher_that_was_killed_takes_its_scripts_along(place: Place) -> None:
    other = await dispatcher(place, ESCAPING.format(marks=place.marks))
    await place.exist("up")
    other.kill()
    await other.wait()

    async def nothing_runs() -> bool:
        return processes_of("one") == []

    await wait_until(nothing_runs, "all processes to end")


async def test_what_a_stopped_dispatcher_left_running_is_ended_before_it_is_adopted_or_run_again(place: Place) -> None:
    other = await dispatcher(place, ESCAPING.format(marks=place.marks))
    await place.exist("up")
    os.kill(other.pid, signal.SIGSTOP)
    try:
        os.kill(place.worker_of("one"), signal.SIGSTOP)
        async with place.backend() as backend:
            await backend.adopt([LiveAttempt("one", 1, "nonce")])
            end = await end_of(backend, "one")
            assert processes_of("one") == []
            assert (end.report, end.reason) == (None, "the platform stopped while it ran")
            assert await backend.submit(job("one", "echo again", attempt=2), granted)
            assert (await end_of(backend, "one")).log == b"again\n"
    finally:
        other.kill()
        await other.wait()


async def test_an_adopted_attempt_that_does_not_end_holds_up_no_other(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fence_until_ended(jobs: Path, execution: str, attempt: int) -> None:
        if execution == "stuck":
            await asyncio.Event().wait()

    monkeypatch.setattr(local_process, "fence_until_ended", fence_until_ended)
    async with place.backend() as backend:
        await backend.adopt([LiveAttempt(name, 1, "nonce") for name in ("stuck", "other")])
        assert (await end_of(backend, "other")).report is None


async def test_a_worker_that_waits_for_a_stopped_dispatcher_is_not_waited_for(place: Place) -> None:
    """Its answer never comes: the worker holds the lock, and starts nothing after it was fenced."""
    asked = asyncio.Event()

    async def never() -> bool:
        asked.set()
        await asyncio.Event().wait()
        return True

    async with place.backend(workers=1) as stopped, place.backend(workers=1) as standby:
        late = asyncio.create_task(stopped.submit(job("one", f"touch {place.marks}/late"), never))
        await asked.wait()
        assert await standby.submit(job("one", "echo mine"), granted)
        assert (await end_of(standby, "one")).log == b"mine\n"
        late.cancel()
    assert not (place.marks / "late").exists()


async def test_a_worker_that_never_asks_is_not_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot, "_ASK_S", 0.2)
    hangs = place.marks / "python"
    hangs.write_text("#!/bin/sh\nexec sleep 1000\n")
    hangs.chmod(0o700)
    async with ProcessBackend(place.jobs, workers=1, python=str(hangs)) as backend:
        with pytest.raises(BackendUnavailableError, match="did not ask"):
            await backend.submit(job("one", "true"), granted)


async def test_a_job_too_large_for_a_worker_is_rejected_for_good(backend: ProcessBackend) -> None:
    with pytest.raises(SubmissionRejectedError, match="too large"):
        await backend.submit(job("one", "#" * 5_000_000), granted)
    assert await backend.submit(job("two", "true"), granted)


async def test_a_denied_attempt_leaves_no_reason_to_fence(backend: ProcessBackend, place: Place) -> None:
    assert not await backend.submit(job("one", "true"), denied)

    async def lock_is_clear() -> bool:
        return (place.jobs / "one" / "lock").read_bytes() == b""

    await wait_until(lock_is_clear, "the lock to be clear")


async def test_an_attempt_denied_and_submitted_again_at_once_kills_no_worker(place: Place) -> None:
    async with place.backend(workers=2) as backend:
        await backend.submit(job("other", f"until [ -e {place.marks}/go ]; do sleep 0.01; done"), granted)
        for attempt in range(50):
            assert not await backend.submit(job("one", "true"), denied), attempt
        assert await backend.submit(job("one", "true"), granted)
        assert (await end_of(backend, "one")).report
        (place.marks / "go").touch()
        assert (await end_of(backend, "other")).report


async def test_forgetting_an_execution_leaves_no_file_of_it(backend: ProcessBackend, place: Place) -> None:
    await backend.submit(job("one", "echo hello"), granted)
    await end_of(backend, "one")
    await backend.forget("one")
    assert [path for path in place.jobs.iterdir() if not path.name.startswith((SPARE_PREFIX, HOST_NAME))] == []


async def test_a_tree_deeper_than_python_can_walk_is_removed_as_well(backend: ProcessBackend, place: Place) -> None:
    deep = "i=0; while [ $i -lt 1500 ]; do mkdir d && cd d; i=$((i+1)); done"
    await backend.submit(job("one", deep), granted)
    end = await end_of(backend, "one")
    assert end.report is not None
    assert end.report.outcome is Outcome.SUCCEEDED
    assert not (place.jobs / "one" / "1").exists()
