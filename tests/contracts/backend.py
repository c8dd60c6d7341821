"""What every backend promises, as tests. A backend subclasses BackendContract beside this file and gives a scene.

In:  a backend and scripts that wait to be released. Out: pass or fail.
Not here: what only one backend does (tests/unit/oscar_dispatcher/backends/).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from itertools import takewhile

import msgspec
import pytest

from oscar_dispatcher.backends.port import Backend, Ended, LiveAttempt, Notice, Started
from oscar_events.job import Job, Outcome
from tests.waiting import DEADLINE_S, wait_until


async def granted() -> bool:
    return True


async def denied() -> bool:
    return False


async def notices_until_end(backend: Backend, execution: str) -> list[Notice]:
    """Return the notices of an execution up to its end."""
    seen: list[Notice] = []
    async with asyncio.timeout(DEADLINE_S):
        async for notice in backend.notices():
            if notice.execution != execution:
                continue
            seen.append(notice)
            if isinstance(notice, Ended):
                return seen
    raise AssertionError("the backend was left")


async def end_of(backend: Backend, execution: str) -> Ended:
    """Return how an execution ended."""
    end = (await notices_until_end(backend, execution))[-1]
    assert isinstance(end, Ended)
    return end


class Scene(ABC):
    """A backend, and jobs whose scripts print `hello` and wait to be released."""

    backend: Backend

    def job(self, execution: str, attempt: int = 1) -> Job:
        return Job(
            instance="instance",
            execution=execution,
            attempt=attempt,
            nonce=f"nonce-{attempt}",
            tenant="tenant",
            service="service",
            script=self.script(execution),
            event=b"{}",
            event_id="event",
            event_time="2026-01-02T03:04:05Z",
            timeout_s=60,
        )

    @abstractmethod
    def script(self, execution: str) -> str: ...

    @abstractmethod
    async def starts(self, execution: str) -> int:
        """Return how often a script of the execution was started."""

    @abstractmethod
    async def release(self, execution: str) -> None:
        """Let the script of the execution end with exit code 0."""

    async def runs(self, execution: str) -> None:
        """Return once the script runs."""

        async def has_started() -> bool:
            return await self.starts(execution) > 0

        await wait_until(has_started, f"the script of {execution}")


class BackendContract:
    """Fixture scene: entered, and left by itself."""

    @pytest.fixture
    def scene(self) -> Scene:
        pytest.fail("a backend's own suite gives the scene")

    async def test_an_attempt_that_is_permitted_starts_and_ends_with_its_report(self, scene: Scene) -> None:
        assert await scene.backend.submit(scene.job("one"), granted) is True
        await scene.runs("one")
        await scene.release("one")
        notices = await notices_until_end(scene.backend, "one")
        assert len(list(takewhile(lambda notice: isinstance(notice, Started), notices))) == len(notices) - 1
        end = notices[-1]
        assert isinstance(end, Ended)
        assert (end.attempt, end.nonce) == (1, "nonce-1")
        assert end.report is not None
        assert end.report.outcome is Outcome.SUCCEEDED
        assert end.report.exit_code == 0
        assert end.log == b"hello\n"

    async def test_without_a_permit_nothing_starts_and_the_execution_can_be_submitted_again(self, scene: Scene) -> None:
        assert await scene.backend.submit(scene.job("one"), denied) is False
        assert await scene.starts("one") == 0
        assert await scene.backend.submit(scene.job("one"), granted) is True
        await scene.runs("one")
        assert await scene.starts("one") == 1

    async def test_an_error_of_the_permit_is_the_submitters_and_nothing_starts(self, scene: Scene) -> None:
        async def fails() -> bool:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await scene.backend.submit(scene.job("one"), fails)
        assert await scene.starts("one") == 0
        assert await scene.backend.submit(scene.job("two"), granted) is True

    async def test_nothing_starts_before_the_permit_is_given(self, scene: Scene) -> None:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def permit() -> bool:
            asked.set()
            await answer.wait()
            return True

        async with asyncio.timeout(DEADLINE_S):
            submit = asyncio.create_task(scene.backend.submit(scene.job("one"), permit))
            await asked.wait()
            assert await scene.starts("one") == 0
            answer.set()
            assert await submit is True
        await scene.runs("one")

    async def test_a_running_attempt_shows_its_log_and_one_that_is_not_here_has_none(self, scene: Scene) -> None:
        await scene.backend.submit(scene.job("one"), granted)
        await scene.runs("one")

        async def shows_hello() -> bool:
            return await scene.backend.log("one", 1) == b"hello\n"

        await wait_until(shows_hello, "what the script prints")
        assert await scene.backend.log("one", 2) is None
        assert await scene.backend.log("two", 1) is None

    async def test_cancel_ends_a_running_attempt_as_cancelled(self, scene: Scene) -> None:
        await scene.backend.submit(scene.job("one"), granted)
        await scene.runs("one")
        await scene.backend.cancel("one", 1)
        end = await end_of(scene.backend, "one")
        assert end.report is not None
        assert end.report.outcome is Outcome.CANCELLED

    async def test_cancel_of_an_attempt_that_is_not_here_is_ignored(self, scene: Scene) -> None:
        await scene.backend.submit(scene.job("one"), granted)
        await scene.runs("one")
        await scene.backend.cancel("one", 2)
        await scene.backend.cancel("two", 1)
        await scene.release("one")
        end = await end_of(scene.backend, "one")
        assert end.report is not None
        assert end.report.outcome is Outcome.SUCCEEDED

    async def test_the_same_attempt_submitted_again_is_there_already(self, scene: Scene) -> None:
        await scene.backend.submit(scene.job("one"), granted)
        await scene.runs("one")
        assert await scene.backend.submit(scene.job("one"), granted) is True
        await scene.release("one")
        await end_of(scene.backend, "one")
        assert await scene.starts("one") == 1

    async def test_another_attempt_ends_the_earlier_one_first(self, scene: Scene) -> None:
        await scene.backend.submit(scene.job("one", attempt=1), granted)
        await scene.runs("one")
        assert await scene.backend.submit(scene.job("one", attempt=2), granted) is True
        first = await end_of(scene.backend, "one")
        assert (first.attempt, first.report) == (1, None)
        assert first.reason
        await scene.release("one")
        second = await end_of(scene.backend, "one")
        assert second.attempt == 2
        assert second.report is not None

    async def test_an_adopted_attempt_ends_without_a_report_and_with_a_reason(self, scene: Scene) -> None:
        await scene.backend.adopt([LiveAttempt("one", 3, "nonce")])
        end = await end_of(scene.backend, "one")
        assert (end.attempt, end.nonce, end.report) == (3, "nonce", None)
        assert end.reason

    async def test_an_execution_that_was_forgotten_can_be_run_again(self, scene: Scene) -> None:
        await scene.backend.submit(scene.job("one"), granted)
        await scene.runs("one")
        await scene.release("one")
        await end_of(scene.backend, "one")
        await scene.backend.forget("one")
        await scene.backend.forget("one")
        again = msgspec.structs.replace(scene.job("one"), attempt=2)
        assert await scene.backend.submit(again, granted) is True

    async def test_the_notices_end_when_the_backend_is_left(self, scene: Scene) -> None:
        async def listen() -> list[Notice]:
            return [notice async for notice in scene.backend.notices()]

        async with asyncio.timeout(DEADLINE_S):
            listener = asyncio.create_task(listen())
            await scene.backend.__aexit__(None, None, None)
            assert await listener == []
