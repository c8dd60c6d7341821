"""The machine: what may happen to a platform with two dispatchers on one host, and what has to hold whatever does.

In:  rules, chosen by hypothesis or by a test. Out: an AssertionError where the platform lost, doubled or forgot.
Not here: what fails and how (faults.py, faulty.py), the host (host.py), running the machine (test_dispatcher.py).

The real intake, scheduler, watch and outbox, on doubles of bus, ledger and backend in which every call can fail before
it is done or after. When it is over everything is healed, and then nothing may be missing. Time is virtual: hours cost
nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf
from typing import Any
from unittest import mock

from hypothesis import strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Connection, Row, Select, select
from sqlalchemy.exc import DBAPIError

from oscar_dispatcher import intake, retained, schedule, watch
from oscar_dispatcher.app import Dispatcher
from oscar_dispatcher.backends.port import Backend
from oscar_dispatcher.settings import DispatcherSettings
from oscar_events import codec
from oscar_events.bus import local
from oscar_events.bus.port import DEADLETTER, EVENTS, EXECUTIONS, QUARANTINE
from oscar_events.errors import ConflictError
from oscar_events.event import StorageEvent
from oscar_events.execution import State
from oscar_events.job import FailureClass, Job, Outcome, Report
from oscar_events.ledger import claims, ends, port, redrive, roles, services, tenure
from oscar_events.ledger.backlog import backlog
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.tables import attempts, executions, queue
from oscar_events.ledger.tables import roles as roles_table
from oscar_events.record import Record
from tests.contracts.ledger.making import file_event, run_id, service
from tests.statemachine.faults import Fault, calls_of
from tests.statemachine.faulty import BUS_CALLS, STEPS, FaultyBus, FaultyLedger, Reach
from tests.statemachine.host import Host, HostBackend
from tests.statemachine.virtual_time import VirtualLoop, clocks_follow
from tests.unit.oscar_dispatcher.doubles import SITE, records

DISPATCHERS = 2
# Short, so that little time has to pass until nothing waits any more.
_SWEEP = timedelta(seconds=10)
# The longest waits are two sweeps, a role that has to run out, and the pause of whoever asks somebody who was away.
_QUIET_S = 40.0
# One for what runs, one for what those ends set free, and some for takeovers meanwhile.
_ROUNDS = 10
_REFUSED_BY_THE_LEDGER = b"refused"

faults = strategies.lists(strategies.sampled_from([None, Fault.NOT_DONE, Fault.ANSWER_LOST]), min_size=1, max_size=6)
ends_of_attempts = strategies.sampled_from(["succeeded", "user", "infrastructure", "permanent", "no report"])
outages = strategies.sampled_from([1.0, 5.0, 20.0])
# What happens next: at once, while the platform is in the middle of it, or when it has gone on.
pauses = strategies.sampled_from([0.0, 0.02, 0.1, 2.0])
which_dispatcher = strategies.integers(0, DISPATCHERS - 1)
on_the_bus = strategies.lists(strategies.sampled_from(["event", "no event", "refused"]), min_size=1, max_size=6)


class _RefusedValue(Exception):
    """What PostgreSQL says of a NUL in a text."""

    sqlstate = "22021"


@dataclass(frozen=True, slots=True)
class _Process:
    """A dispatcher that runs. holder: its name among those that want the role."""

    dispatcher: Dispatcher
    task: asyncio.Task[None]
    ledger: Reach
    backend: HostBackend
    holder: str


class Dispatching(RuleBasedStateMachine):
    """The platform; hypothesis chooses from the rules."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = ExitStack()
        self.loop = VirtualLoop()
        self.patches.enter_context(clocks_follow(self.loop, port, intake, retained, schedule, tenure, watch))
        # A poll that waits looks again so often; every look is an event of the loop, and hours of them are slow.
        self.patches.enter_context(mock.patch.object(local, "TICK_SECONDS", 2.0))
        self.patches.enter_context(mock.patch.object(claims, "claim", _claim_like_postgresql(claims.claim)))
        asyncio.set_event_loop(self.loop)
        self.ledger, self.bus, self.host = FaultyLedger(), FaultyBus(partitions=2), Host()
        self.patches.enter_context(self.ledger.noting_steps())
        one = service(retry={"max_attempts": 2, "backoff": 1})
        self.uid = self.as_somebody(lambda c: services.apply(c, "default", one, datetime(2026, 1, 1, tzinfo=UTC)).uid)
        self.published: list[StorageEvent] = []
        self.refused = 0
        # What a dispatcher was told of an attempt while it held the role, and under which epoch.
        self.told: dict[tuple[str, int], tuple[str, int]] = {}
        self.processes: list[_Process | None] = [None] * DISPATCHERS
        self.a_dispatcher_starts(0)

    # what happens outside

    @rule(count=strategies.integers(1, 5), then=pauses)
    def events_are_published(self, count: int, then: float = 0.0) -> None:
        self.some_records_are_published(["event"] * count, then)

    @precondition(lambda self: self.published)
    @rule(data=strategies.data())
    def an_event_is_told_again(self, data: strategies.DataObject) -> None:
        self.publish([codec.encode(data.draw(strategies.sampled_from(self.published)))])

    @rule(kinds=on_the_bus, then=pauses)
    def some_records_are_published(self, kinds: Sequence[str], then: float = 0.0) -> None:
        """Put records on the bus at once; those that are no events, or that the ledger refuses, are each another."""
        found: list[Record] = []
        for kind in kinds:
            if kind == "event":
                self.published.append(file_event(b"in/%d.png" % len(self.published)))
                found.append(codec.encode(self.published[-1]))
                continue
            self.refused += 1
            if kind == "no event":
                found.append(Record(b"%d" % self.refused, b"no event %d" % self.refused, 0))
            else:
                found.append(codec.encode(file_event(b"in/%b-%d" % (_REFUSED_BY_THE_LEDGER, self.refused))))
        self.publish(found)
        self.time_passes(then)

    @rule(seconds=strategies.sampled_from([0.01, 0.1, 0.5, 5.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    # what runs, ends

    @precondition(lambda self: self.host.running)
    @rule(which=strategies.integers(0, 9), end=ends_of_attempts, then=pauses)
    def an_attempt_ends(self, which: int, end: str, then: float = 0.0) -> None:
        running = self.host.running
        self.finish(*running[which % len(running)], end)
        self.time_passes(then)

    @precondition(lambda self: self.host.running)
    @rule(data=strategies.data())
    def somebody_cancels_a_run(self, data: strategies.DataObject) -> None:
        _, job = data.draw(strategies.sampled_from(self.host.running))
        with suppress(ConflictError):
            self.as_somebody(lambda c: ends.cancel(c, job.execution, "cancelled by a person"))

    @rule()
    def somebody_sends_dead_letters_again(self) -> None:
        def unit(connection: Connection) -> None:
            found = redrive.page(connection, redrive.Filters())
            redrive.redrive(connection, [one["id"] for one in found])

        self.as_somebody(unit)

    # what fails

    @rule(call=strategies.sampled_from(sorted(calls_of(port.Ledger))), coming=faults)
    def the_ledger_fails(self, call: str, coming: list[Fault | None]) -> None:
        self.ledger.calls[call].coming += coming

    @rule(step=strategies.sampled_from(sorted(STEPS)), coming=faults)
    def the_ledger_fails_at(self, step: str, coming: list[Fault | None]) -> None:
        self.ledger.faults_at[step].coming += coming

    @rule(step=strategies.sampled_from(sorted(STEPS)), how=strategies.sampled_from(Fault), seconds=outages, then=pauses)
    def the_ledger_fails_for_a_time_at(self, step: str, how: Fault, seconds: float, then: float = 0.0) -> None:
        self.ledger.faults_at[step].all_fail(how, self.loop.time() + seconds)
        self.time_passes(then)

    @rule(call=strategies.sampled_from(sorted(BUS_CALLS)), coming=faults)
    def the_bus_fails(self, call: str, coming: list[Fault | None]) -> None:
        self.bus.calls[call].coming += coming

    @rule(
        call=strategies.sampled_from(sorted(BUS_CALLS)),
        how=strategies.sampled_from(Fault),
        seconds=outages,
        then=pauses,
    )
    def the_bus_fails_for_a_time(self, call: str, how: Fault, seconds: float, then: float = 0.0) -> None:
        self.bus.calls[call].all_fail(how, self.loop.time() + seconds)
        self.time_passes(then)

    @rule(which=which_dispatcher, call=strategies.sampled_from(sorted(calls_of(Backend))), coming=faults)
    def a_backend_fails(self, which: int, call: str, coming: list[Fault | None]) -> None:
        process = self.processes[which]
        if process is not None:
            process.backend.calls[call].coming += coming

    @rule(
        which=which_dispatcher,
        call=strategies.sampled_from(sorted(calls_of(Backend))),
        how=strategies.sampled_from(Fault),
        seconds=outages,
        then=pauses,
    )
    def a_backend_fails_for_a_time(self, which: int, call: str, how: Fault, seconds: float, then: float = 0.0) -> None:
        process = self.processes[which]
        if process is not None:
            process.backend.calls[call].all_fail(how, self.loop.time() + seconds)
        self.time_passes(then)

    @rule(seconds=strategies.sampled_from([0.0, 0.1, 30.0]))
    def workers_take_their_time_to_ask(self, seconds: float) -> None:
        self.host.slowness = seconds

    @rule(which=which_dispatcher, seconds=strategies.sampled_from([3.0, 6.0, 20.0]))
    def a_dispatcher_does_not_reach_the_ledger(self, which: int, seconds: float) -> None:
        """Beyond the role's 8 s the other one takes over beside it."""
        process = self.processes[which]
        if process is not None:
            process.ledger.cut_until = self.loop.time() + seconds

    @rule(which=which_dispatcher, scripts_live_on=strategies.booleans())
    def a_dispatcher_is_killed(self, which: int, *, scripts_live_on: bool) -> None:
        process = self.processes[which]
        if process is not None:
            process.ledger.cut_until = inf  # it writes nothing more, not even that it gives the role back
            self.end(which, scripts_live_on=scripts_live_on)

    @rule(which=which_dispatcher)
    def a_dispatcher_is_stopped(self, which: int) -> None:
        """It drains for as long as `oscar-events` lets it, and gives the role back."""
        process = self.processes[which]
        if process is not None:
            with suppress(TimeoutError):
                self.do(asyncio.wait_for(process.dispatcher.drain(), 10))
            self.end(which, scripts_live_on=False)

    @rule(which=which_dispatcher, then=pauses)
    def a_dispatcher_starts(self, which: int, then: float = 0.0) -> None:
        if self.processes[which] is not None:
            return
        holder = f"dispatcher {which} of {self.loop.time()}"
        ledger, backend = Reach(self.ledger), HostBackend(self.host)
        chosen = DispatcherSettings(concurrency=3, holder=holder, sweep=_SWEEP)
        dispatcher = Dispatcher(self.bus, ledger, backend, SITE, chosen)
        task = self.loop.create_task(dispatcher.run())
        self.processes[which] = _Process(dispatcher, task, ledger, backend, holder)
        self.time_passes(then)

    # what holds at every moment

    @invariant()
    def no_dispatcher_has_given_up(self) -> None:
        for process in self.processes:
            if process is not None and process.task.done():
                process.task.result()
                raise AssertionError("a dispatcher ended by itself")

    @invariant()
    def no_two_scripts_of_one_execution_ran_at_a_time(self) -> None:
        assert self.host.violations == []

    @invariant()
    def an_execution_is_queued_once_if_it_is_pending_and_else_not(self) -> None:
        pending = self.ledger.look(
            lambda c: set(c.scalars(select(executions.c.id).where(executions.c.state == State.PENDING.value)))
        )
        queued = self.ledger.look(lambda c: list(c.scalars(select(queue.c.execution_id))))
        assert sorted(queued) == sorted(pending)

    @invariant()
    def what_the_holder_of_the_role_was_told_of_an_end_is_what_the_ledger_says(self) -> None:
        role = self.role()
        for (execution, number), (outcome, epoch) in list(self.told.items()):
            of_it = select(attempts).where(attempts.c.execution_id == execution, attempts.c.number == number)
            (found,) = self.ledger.look(partial(_rows, of_it))
            if role is None or role.epoch != epoch:  # its holder may have died with what it knew
                del self.told[execution, number]
            elif found.ended_at is not None:
                assert found.outcome == outcome, f"attempt {number} of {execution}: {found.reason}"
                del self.told[execution, number]

    # what holds in the end

    def teardown(self) -> None:
        try:
            self.heal()
            self.everything_ends()
            self.check()
        finally:
            for which in range(DISPATCHERS):
                if self.processes[which] is not None:
                    self.end(which, scripts_live_on=False)
            self.ledger.close()
            self.loop.close()
            asyncio.set_event_loop(None)
            self.patches.close()

    def heal(self) -> None:
        self.ledger.heal()
        self.bus.calls.heal()
        self.host.slowness = 0.0
        for process in self.processes:
            if process is not None:
                process.ledger.cut_until = 0.0
                process.backend.calls.heal()
        for which in range(DISPATCHERS):
            self.a_dispatcher_starts(which)

    def everything_ends(self) -> None:
        for _ in range(_ROUNDS):
            self.time_passes(_QUIET_S)
            self.no_dispatcher_has_given_up()
            if not self.host.running:
                return
            for _ in range(len(self.published)):
                for backend, job in self.host.running:
                    self.finish(backend, job, "succeeded")
                self.time_passes(0.5)
        raise AssertionError(f"it does not come to rest: {[job.execution for _, job in self.host.running]}")

    def check(self) -> None:
        self.no_two_scripts_of_one_execution_ran_at_a_time()
        self.what_the_holder_of_the_role_was_told_of_an_end_is_what_the_ledger_says()
        assert self.told == {}, "an end was told and never recorded"
        runs = self.ledger.look(lambda c: c.execute(select(executions)).all())
        states = {run.id: State(run.state) for run in runs}
        first = {run.id for run in runs if run.redrive_of is None}
        assert first == {run_id(self.uid, event) for event in self.published}
        assert all(state.is_terminal for state in states.values()), states
        tries = self.ledger.look(lambda c: c.execute(select(attempts)).all())
        for execution, count in self.host.started.items():
            failed = sum(one.execution_id == execution and one.outcome != "succeeded" for one in tries)
            assert count <= 1 + failed, f"{execution} was started {count} times, {failed} attempts failed"
        told = Counter(record.key.decode() for record in self.on(EXECUTIONS) if record.key)
        assert set(told) == set(states)
        dead = {execution for execution, state in states.items() if state is State.DEAD}
        assert {record.key.decode() for record in self.on(DEADLETTER) if record.key} == dead
        assert len({record.key for record in self.on(QUARANTINE)}) == self.refused
        assert self.do(backlog(self.bus, Reach(self.ledger))).records == 0

    # how

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def as_somebody(self, unit: port.Unit[Any]) -> Any:
        """Run a unit as another process does, which has no faults."""
        return self.ledger._in_transaction(unit, keep=True)

    def publish(self, found: Sequence[Record]) -> None:
        self.do(super(FaultyBus, self.bus).publish(EVENTS, found))

    def on(self, topic: str) -> list[Record]:
        return list(self.do(records(self.bus, topic)))

    def role(self) -> Any:
        return self.ledger.look(
            lambda c: c.execute(select(roles_table).where(roles_table.c.name == roles.SCHEDULER)).one_or_none()
        )

    def finish(self, backend: HostBackend, job: Job, end: str) -> None:
        if end == "no report":
            backend.finish(job.execution, reason="the worker ended without a report")
            return
        outcome = Outcome.SUCCEEDED if end == "succeeded" else Outcome.FAILED
        report = Report(
            execution=job.execution,
            attempt=job.attempt,
            nonce=job.nonce,
            outcome=outcome,
            failure=None if outcome is Outcome.SUCCEEDED else FailureClass(end),
            exit_code=0 if outcome is Outcome.SUCCEEDED else 1,
            reason="" if outcome is Outcome.SUCCEEDED else "asked for by the test",
        )
        role = self.role()
        if any(one is not None and one.backend is backend and one.holder == role.holder for one in self.processes):
            self.told[job.execution, job.attempt] = outcome.value, role.epoch
        backend.finish(job.execution, report)

    def end(self, which: int, *, scripts_live_on: bool) -> None:
        process, self.processes[which] = self.processes[which], None
        assert process is not None
        process.task.cancel()
        self.do(asyncio.wait([process.task]))
        self.do(process.backend.die(scripts_live_on=scripts_live_on))


def _rows(query: Select[Any], connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(query).all()


def _claim_like_postgresql(claim: Any) -> Any:
    def refusing(connection: Connection, catalogue: Catalogue, sightings: Any, read: Any = ()) -> set[str]:
        if any(_REFUSED_BY_THE_LEDGER in sighting.event.key for sighting in sightings):
            raise DBAPIError("INSERT", {}, _RefusedValue())
        found: set[str] = claim(connection, catalogue, sightings, read)
        return found

    return refusing
