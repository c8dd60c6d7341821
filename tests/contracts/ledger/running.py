"""What every ledger promises about leases, permits and ends: one holder, one attempt, no second start."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, delete, select, update

from oscar_events.errors import ConflictError, FencedError, MoveRefusedError, NotFoundError
from oscar_events.execution import State
from oscar_events.job import FailureClass, Outcome, Report
from oscar_events.ledger import ends, leases, outbox, permits, roles, runs, services, tables
from oscar_events.ledger.ends import AttemptEnd, ToRecord
from oscar_events.ledger.moves import move
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.tables import attempts, executions, queue
from oscar_events.service import RetrySettings
from tests.contracts.ledger.making import Life, failed, file_event, run_id, service, succeeded


class RolesContract:
    async def test_a_role_is_taken_renewed_and_passed_on_with_a_higher_epoch(self, life: Life) -> None:
        ledger = life.ledger
        assert await ledger.write(lambda c: roles.take(c, SCHEDULER, "a", 60_000)) == 1
        assert await ledger.write(lambda c: roles.take(c, SCHEDULER, "b", 60_000)) is None
        await ledger.write(lambda c: roles.renew(c, SCHEDULER, 1, 60_000))
        await ledger.write(lambda c: roles.renew(c, SCHEDULER, 1, 0))
        assert await ledger.write(lambda c: roles.take(c, SCHEDULER, "b", 60_000)) == 2
        with pytest.raises(FencedError, match="passed to somebody else"):
            await ledger.write(lambda c: roles.renew(c, SCHEDULER, 1, 60_000))

    async def test_whoever_knows_that_no_other_lives_takes_the_role_at_once(self, life: Life) -> None:
        await life.ledger.write(lambda c: roles.take(c, SCHEDULER, "a", 60_000))
        assert await life.ledger.write(lambda c: roles.take(c, SCHEDULER, "b", 60_000, at_once=True)) == 2


class LeasesContract:
    async def test_the_oldest_is_leased_first_and_only_what_is_ready(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        first, second, later = file_event(), file_event(), file_event()
        for event in (first, second, later):
            await life.claim(event)

        def postpone(connection: Connection) -> None:
            for at, event in enumerate((first, second)):
                of_it = queue.c.execution_id == run_id(uid, event)
                connection.execute(update(queue).where(of_it).values(not_before_at=at))
            of_later = queue.c.execution_id == run_id(uid, later)
            connection.execute(update(queue).where(of_later).values(not_before_at=2**50))

        await life.ledger.write(postpone)
        leased = await life.lease(uid, 5)
        assert [one.execution for one in leased] == [run_id(uid, first), run_id(uid, second)]
        (waiting,) = await life.ledger.read(leases.waiting)
        assert (waiting.service_uid, waiting.next_at) == (uid, 2**50)

    async def test_an_epoch_that_is_over_leases_and_submits_nothing(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await life.claim(file_event(), file_event())
        (held,) = await life.lease(uid)
        await life.take_role("somebody else")
        life.epoch -= 1
        with pytest.raises(FencedError):
            await life.lease(uid)
        with pytest.raises(FencedError):
            await life.submit(held)
        assert await life.state(held.execution) is State.LEASED

    async def test_a_lease_given_back_keeps_the_attempt_and_its_old_token_is_refused(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await life.claim(file_event())
        (held,) = await life.lease(uid)
        await life.ledger.write(lambda c: leases.give_back(c, life.epoch, held, "no room"))
        (again,) = await life.lease(uid)
        assert (again.attempt, again.nonce) == (held.attempt, held.nonce)
        assert again.token != held.token
        with pytest.raises(FencedError):
            await life.submit(held)
        with pytest.raises(FencedError):
            await life.ledger.write(lambda c: leases.give_back(c, life.epoch, held, "late"))
        assert await life.submit(again)

    async def test_the_revision_is_that_of_the_first_lease(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await life.claim(file_event())
        (held,) = await life.lease(uid)
        await life.ledger.write(lambda c: leases.give_back(c, life.epoch, held, "no room"))
        await life.apply(service(concurrency=3))
        (again,) = await life.lease(uid)
        assert (held.revision, again.revision) == (1, 1)

    async def test_an_attempt_specified_otherwise_before_is_not_submitted(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        held = await life.running(uid)

        def forget_submit(connection: Connection) -> None:
            connection.execute(update(executions).where(executions.c.id == held.execution).values(state="leased"))

        await life.ledger.write(forget_submit)
        with pytest.raises(FencedError, match="specified otherwise"):
            await life.submit(held, "another spec")
        assert await life.submit(held)

    async def test_what_is_pending_but_not_queued_is_found_and_queued(self, life: Life) -> None:
        uid = await life.apply(service())
        event = file_event()
        await life.claim(event)
        await life.ledger.write(lambda c: c.execute(delete(queue)))
        await life.take_role()
        assert await life.ledger.write(lambda c: leases.repair(c, life.epoch)) == [run_id(uid, event)]
        assert await life.ledger.write(lambda c: leases.repair(c, life.epoch)) == []
        with pytest.raises(FencedError):
            await life.ledger.write(lambda c: leases.repair(c, life.epoch - 1))

    async def test_a_lease_whose_time_is_over_submits_nothing_and_can_be_given_back(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await life.claim(file_event())
        (held,) = await life.ledger.write(lambda c: leases.lease(c, life.epoch, [(uid, 1)], lease_ms=-1))
        with pytest.raises(FencedError, match="is over"):
            await life.submit(held)
        await life.ledger.write(lambda c: leases.give_back(c, life.epoch, held, "too late"))
        (again,) = await life.lease(uid)
        assert (again.execution, again.attempt) == (held.execution, held.attempt)

    async def test_permits_asked_for_together_come_each_to_what_it_would_alone(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        asked_before = await life.running(uid)
        await life.claim(*(file_event() for _ in range(3)))
        first, cancelled, over = await life.lease(uid, 3)
        await life.ledger.write(lambda c: ends.cancel(c, cancelled.execution, "by hand"))
        wanted = [(first, "spec"), (cancelled, "spec"), (asked_before, "spec"), (replace(over, token="other"), "spec")]
        *found, refused = await life.ledger.write(lambda c: permits.submit_all(c, life.epoch, wanted, "here"))
        assert found == [True, False, True]
        assert isinstance(refused, FencedError)
        states = [await life.state(held.execution) for held in (first, cancelled, over)]
        assert states == [State.SUBMITTED, State.CANCELLED, State.LEASED]
        hosts = {row.id: row.host for row in await life.ledger.read(runs.in_flight)}
        assert hosts[first.execution] == "here"

    async def test_a_lease_of_a_deleted_service_is_not_given_back_but_cancelled(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await life.claim(file_event())
        (held,) = await life.lease(uid)
        await life.ledger.write(lambda c: services.end(c, "default", "blur"))
        await life.ledger.write(lambda c: leases.give_back(c, life.epoch, held, "no room"))
        assert await life.state(held.execution) is State.CANCELLED


class EndsContract:
    async def test_a_success_is_final_and_told_with_its_outputs(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        assert await life.end(held, succeeded(held, "out/a.png")) is State.SUCCEEDED
        run = await life.ledger.read(lambda c: runs.show(c, held.execution))
        assert (run["outputs"], run["exit_code"], run["started_at"]) == (
            ["pics/out/a.png"],
            0,
            "1970-01-01T00:00:01.500Z",
        )
        (told,) = await life.ledger.read(lambda c: outbox.oldest(c, 10))
        assert told.topic == "oscar.executions"
        assert json.loads(told.record.value)["state"] == "succeeded"

    async def test_an_end_told_twice_is_recorded_once(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        await life.end(held, succeeded(held))
        assert await life.end(held, None) is None
        assert await life.state(held.execution) is State.SUCCEEDED
        assert len(await life.ledger.read(lambda c: outbox.oldest(c, 10))) == 1

    async def test_an_end_under_another_nonce_or_epoch_is_refused(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        stranger = leases.Leased(**{name: getattr(held, name) for name in held.__slots__} | {"nonce": "another"})
        with pytest.raises(FencedError, match="nonce"):
            await life.end(stranger, None)
        await life.take_role("somebody else")
        life.epoch -= 1
        with pytest.raises(FencedError, match="epoch"):
            await life.end(held, succeeded(held))
        assert await life.state(held.execution) is State.SUBMITTED

    async def test_no_report_is_an_infrastructure_failure_and_is_tried_again_as_the_next_attempt(
        self, life: Life
    ) -> None:
        await life.take_role()
        uid = await life.apply(service())
        held = await life.running(uid)
        no_wait = RetrySettings(backoff=timedelta(0))
        assert await life.end(held, None, no_wait, "the worker was killed") is State.PENDING
        (again,) = await life.lease(uid)
        assert (again.execution, again.attempt) == (held.execution, 2)
        assert again.nonce != held.nonce
        run = await life.ledger.read(lambda c: runs.show(c, held.execution))
        assert [one["reason"] for one in run["attempts"]] == ["the worker was killed", ""]

    async def test_an_attempt_that_was_cut_off_keeps_when_it_was_seen_to_start(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        await life.ledger.write(lambda c: ends.started(c, life.epoch, held.execution, 1, 1_500))
        await life.end(held, None, RetrySettings(), "the platform stopped while it ran")
        run = await life.ledger.read(lambda c: runs.show(c, held.execution))
        assert run["attempts"][0]["started_at"] == "1970-01-01T00:00:01.500Z"

    async def test_how_long_it_is_tried_counts_from_the_first_submit_and_not_from_the_claim(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        event = file_event()
        await life.claim(event)
        await self._age(life, run_id(uid, event), "created_at")
        (held,) = await life.lease(uid)
        assert await life.submit(held)
        a_day = RetrySettings(max_age=timedelta(days=1), backoff=timedelta(0))
        assert await life.end(held, None, a_day) is State.PENDING
        await self._age(life, held.execution, "first_submit_at")
        (again,) = await life.lease(uid)
        assert await life.submit(again)
        assert await life.end(again, None, a_day) is State.DEAD, "the second submit does not count anew"
        run = await life.ledger.read(lambda c: runs.show(c, held.execution))
        since = datetime.now(UTC) - timedelta(days=2)
        tried = {f"{since - timedelta(minutes=ago):%Y-%m-%d %H:%M}" for ago in range(10)}
        assert run["reason"] in {f"no report; tried since {day} UTC, longer than 1 day, 0:00:00" for day in tried}

    async def _age(self, life: Life, execution: str, column: str) -> None:
        """Make it two days older."""
        aged = {column: executions.c[column] - 2 * 24 * 3_600_000}
        await life.ledger.write(
            lambda c: c.execute(update(executions).where(executions.c.id == execution).values(**aged)).rowcount
        )

    async def test_the_users_failure_is_a_dead_letter_at_once(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        assert await life.end(held, failed(held, FailureClass.USER, 3)) is State.DEAD
        told = await life.ledger.read(lambda c: outbox.oldest(c, 10))
        assert sorted(row.topic for row in told) == ["oscar.deadletter", "oscar.executions"]
        await life.ledger.write(lambda c: outbox.acknowledged(c, [row.id for row in told]))
        assert await life.ledger.read(lambda c: outbox.oldest(c, 10)) == []

    async def test_ends_recorded_together_come_each_to_what_it_would_alone(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        well, badly, again, twice, foreign = [await life.running(uid) for _ in range(5)]
        await life.end(twice, succeeded(twice))
        told = await life.count(tables.outbox)
        reports = [
            (well, succeeded(well, "out/a.png"), well.nonce),
            (badly, failed(badly, FailureClass.PERMANENT), badly.nonce),
            (again, None, again.nonce),
            (twice, None, twice.nonce),
            (foreign, succeeded(foreign), "guessed"),
        ]
        wanted = [
            ToRecord(AttemptEnd(held.execution, 1, nonce, report, "its node is gone", b"log"), RetrySettings(), 0.5)
            for held, report, nonce in reports
        ]
        *found, refused = await life.ledger.write(lambda c: ends.end_all(c, life.epoch, wanted))
        assert found == [State.SUCCEEDED, State.DEAD, State.PENDING, None]
        assert isinstance(refused, FencedError)
        assert await life.state(foreign.execution) is State.SUBMITTED
        shown = await life.ledger.read(lambda c: runs.show(c, well.execution))
        assert (shown["state"], shown["outputs"]) == ("succeeded", ["pics/out/a.png"])
        shown = await life.ledger.read(lambda c: runs.show(c, again.execution))
        assert (shown["state"], shown["attempt"], shown["reason"]) == ("pending", 2, "its node is gone")
        assert await life.count(queue) == 1
        assert await life.count(tables.outbox) - told == 3  # the dead one on two topics

    async def test_an_end_is_recorded_whatever_text_its_reason_is(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        assert await life.end(held, None, reason="no \0 and no \udcff") is State.PENDING

    async def test_a_failure_of_a_deleted_service_is_not_tried_again(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        await life.ledger.write(lambda c: services.end(c, "default", "blur"))
        assert await life.end(held, None) is State.CANCELLED
        run = await life.ledger.read(lambda c: runs.show(c, held.execution))
        assert run["reason"] == "no report; not tried again: its service was deleted"

    async def test_a_wait_before_the_next_try_is_kept(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        held = await life.running(uid)
        await life.end(held, None, RetrySettings(backoff=timedelta(minutes=5)))
        assert await life.lease(uid) == []

    async def test_no_state_is_left_once_it_is_terminal(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        await life.end(held, succeeded(held))
        for there in State:
            with pytest.raises(MoveRefusedError):
                await life.ledger.write(lambda c, there=there: move(c, held.execution, State.SUCCEEDED, there))  # type: ignore[misc]

    async def test_a_move_from_where_the_execution_is_not_is_refused_and_undone(self, life: Life) -> None:
        uid = await life.apply(service())
        event = file_event()
        await life.claim(event)
        with pytest.raises(MoveRefusedError, match="was not running any more"):
            await life.ledger.write(lambda c: move(c, run_id(uid, event), State.RUNNING, State.SUCCEEDED))
        assert await life.state(run_id(uid, event)) is State.PENDING

    async def test_a_start_is_noted_only_while_the_attempt_lives(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        await life.ledger.write(lambda c: ends.started(c, life.epoch, held.execution, 1, 1_500))
        assert await life.state(held.execution) is State.RUNNING
        run = await life.ledger.read(lambda c: runs.show(c, held.execution))
        assert run["attempts"][0]["started_at"] == run["started_at"] == "1970-01-01T00:00:01.500Z"
        await life.end(held, succeeded(held))
        await life.ledger.write(lambda c: ends.started(c, life.epoch, held.execution, 1, 1_500))
        assert await life.state(held.execution) is State.SUCCEEDED


class CancelsContract:
    async def test_what_waits_is_cancelled_at_once(self, life: Life) -> None:
        uid = await life.apply(service())
        event = file_event()
        await life.claim(event)
        assert await life.ledger.write(lambda c: ends.cancel(c, run_id(uid, event), "by hand")) is State.CANCELLED
        assert await life.count(queue) == 0
        with pytest.raises(ConflictError, match="has ended already"):
            await life.ledger.write(lambda c: ends.cancel(c, run_id(uid, event), "by hand"))

    async def test_what_runs_is_asked_to_end_and_is_what_it_reports(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        assert await life.ledger.write(lambda c: ends.cancel(c, held.execution, "by hand")) is State.SUBMITTED
        assert await life.ledger.read(ends.cancels) == [(held.execution, 1)]
        assert await life.end(held, succeeded(held)) is State.SUCCEEDED
        assert await life.ledger.read(ends.cancels) == []

    async def test_a_cancelled_run_whose_worker_was_killed_is_not_tried_again(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        await life.ledger.write(lambda c: ends.cancel(c, held.execution, "by hand"))
        assert await life.end(held, None) is State.CANCELLED

    async def test_a_cancel_between_lease_and_permit_lets_nothing_start(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await life.claim(file_event())
        (held,) = await life.lease(uid)
        await life.ledger.write(lambda c: ends.cancel(c, held.execution, "by hand"))
        assert await life.submit(held) is False
        assert await life.state(held.execution) is State.CANCELLED

    async def test_a_reported_cancel_is_final(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        report = Report(
            execution=held.execution, attempt=1, nonce=held.nonce, outcome=Outcome.CANCELLED, reason="asked"
        )
        assert await life.end(held, report) is State.CANCELLED


class RunsContract:
    async def test_runs_are_listed_newest_first_page_by_page(self, life: Life) -> None:
        uid = await life.apply(service())
        made = [file_event(f"in/{index}.png".encode()) for index in range(7)]
        for event in made:
            await life.claim(event)
        seen: list[str] = []
        before: str | None = None
        while page := await life.ledger.read(lambda c: runs.page(c, limit=3, before=before)):  # noqa: B023
            seen += [run["id"] for run in page]
            before = seen[-1]
        assert sorted(seen) == sorted(run_id(uid, event) for event in made)
        assert seen == [run["id"] for run in await life.ledger.read(runs.page)]

    async def test_runs_are_listed_by_service_and_state(self, life: Life) -> None:
        await life.apply(service("a"))
        await life.apply(service("b", out="pics/b"))
        await life.claim(file_event())
        only = await life.ledger.read(lambda c: runs.page(c, service="b", state="pending"))
        assert [run["service"] for run in only] == ["b"]
        assert await life.ledger.read(lambda c: runs.page(c, state="dead")) == []

    async def test_a_run_is_found_by_the_beginning_of_its_id(self, life: Life) -> None:
        uid = await life.apply(service())
        event = file_event()
        await life.claim(event)
        whole = run_id(uid, event)
        assert await life.ledger.read(lambda c: runs.find(c, whole[:6])) == whole
        for wrong in ("", "nothing-like-it", "%"):
            with pytest.raises(NotFoundError):
                await life.ledger.read(lambda c, wrong=wrong: runs.find(c, wrong))  # type: ignore[misc]

    async def test_the_log_of_an_attempt_is_kept(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        assert await life.ledger.read(lambda c: runs.log(c, held.execution)) == (held.execution, 1, None)
        await life.end(held, succeeded(held))
        assert await life.ledger.read(lambda c: runs.log(c, held.execution)) == (held.execution, 1, b"log")
        with pytest.raises(NotFoundError, match="no attempt 2"):
            await life.ledger.read(lambda c: runs.log(c, held.execution, 2))

    async def test_nothing_but_the_end_makes_the_attempt_number_grow(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await life.claim(file_event())
        for _ in range(3):
            (held,) = await life.lease(uid)
            await life.ledger.write(lambda c, held=held: leases.give_back(c, life.epoch, held, "no room"))  # type: ignore[misc]
        numbers = await life.ledger.read(lambda c: list(c.scalars(select(attempts.c.number))))
        assert numbers == [1]
