"""What every ledger promises about sending again: each dead letter once, each record of a replay once, what is settled
stays settled."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from oscar_events import codec
from oscar_events.errors import ConflictError, NotFoundError
from oscar_events.event import Action, StorageEvent
from oscar_events.execution import State
from oscar_events.identity import execution_id
from oscar_events.job import FailureClass
from oscar_events.ledger import claims, redrive, replays, runs, services, settled
from oscar_events.ledger.redrive import Filters
from oscar_events.ledger.replays import Wish
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.settled import How
from oscar_events.ledger.tables import PURGED, attempts, events, executions, queue
from tests.contracts.ledger.making import Life, failed, file_event, run_id, service, sighting, succeeded


async def dead(life: Life, uid: str, event: StorageEvent | None = None) -> str:
    """Return a new run of the service that was given up on."""
    held = await life.running(uid, event)
    assert await life.end(held, failed(held, FailureClass.USER, 7)) is State.DEAD
    return held.execution


async def letters(life: Life, filters: Filters | None = None) -> list[str]:
    found = await life.ledger.read(lambda c: redrive.page(c, filters or Filters()))
    return [letter["id"] for letter in found]


async def sent(life: Life, *ids: str, same_revision: bool = False) -> list[dict[str, Any]]:
    return await life.ledger.write(lambda c: redrive.redrive(c, ids, same_revision=same_revision))


class DeadLettersContract:
    async def envelope(self, life: Life) -> bytes:
        return bytes(await life.ledger.read(lambda c: c.execute(select(events.c.envelope)).scalar_one()))

    async def test_a_run_given_up_on_is_a_dead_letter_and_one_that_succeeded_is_not(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        letter = await dead(life, uid)
        held = await life.running(uid)
        await life.end(held, succeeded(held))
        assert await letters(life) == [letter]

    async def test_one_that_is_sent_again_is_another_run_for_the_same_event_and_no_dead_letter_any_more(
        self, life: Life
    ) -> None:
        await life.take_role()
        uid, event = await life.apply(service()), file_event()
        letter = await dead(life, uid, event)
        [answer] = await sent(life, letter)
        assert answer == {
            "id": letter,
            "verdict": "done",
            "run": execution_id("default", uid, event.id, "redrive", letter),
            "reason": "",
        }
        assert await letters(life) == []
        assert await life.state(letter) is State.DEAD
        assert (await life.ledger.read(lambda c: runs.show(c, letter)))["redriven_as"] == answer["run"]
        assert (await life.ledger.read(lambda c: runs.show(c, answer["run"])))["redrive_of"] == letter
        (held,) = await life.lease(uid)
        assert (held.execution, codec.decode(held.envelope)) == (answer["run"], event)

    async def test_a_dead_letter_is_sent_once_however_often_it_is_asked_for(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        letter = await dead(life, uid)
        [first] = await sent(life, letter)
        [second] = await sent(life, letter)
        assert (second["verdict"], second["run"]) == ("already", first["run"])
        assert await life.count(queue) == 1

    async def test_the_successor_dead_again_can_be_sent_in_its_turn(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        [answer] = await sent(life, await dead(life, uid))
        (held,) = await life.lease(uid)
        await life.submit(held)
        await life.end(held, failed(held, FailureClass.USER, 7))
        assert await letters(life) == [answer["run"]]
        [again] = await sent(life, answer["run"])
        assert again["verdict"] == "done"
        assert await life.count(executions) == 3

    async def test_the_event_told_once_more_starts_nothing_beside_the_run_that_was_sent_again(self, life: Life) -> None:
        await life.take_role()
        uid, event = await life.apply(service()), file_event()
        await sent(life, await dead(life, uid, event))
        assert await life.claim(event) == set()

    @pytest.mark.parametrize(("same_revision", "revision"), [(False, 2), (True, 1)])
    async def test_it_runs_the_present_revision_unless_the_one_that_failed_is_asked_for(
        self, life: Life, same_revision: bool, revision: int
    ) -> None:
        await life.take_role()
        uid = await life.apply(service())
        letter = await dead(life, uid)
        await life.apply(service(concurrency=2))
        await sent(life, letter, same_revision=same_revision)
        (held,) = await life.lease(uid)
        assert held.revision == revision

    async def test_what_is_not_dead_is_refused(self, life: Life) -> None:
        await life.take_role()
        uid, event = await life.apply(service()), file_event()
        await life.claim(event)
        [answer] = await sent(life, run_id(uid, event))
        assert (answer["verdict"], answer["reason"]) == ("refused", "it is pending, and only dead runs are sent again")
        [answer] = await life.ledger.write(lambda c: redrive.purge(c, [run_id(uid, event)]))
        assert answer["verdict"] == "refused"
        with pytest.raises(ConflictError, match="is pending, no dead letter"):
            await life.ledger.read(lambda c: redrive.show(c, run_id(uid, event)))

    async def test_one_of_a_deleted_service_is_refused_with_what_to_do_instead(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        letter = await dead(life, uid)
        await life.ledger.write(lambda c: services.end(c, "default", "blur"))
        [answer] = await sent(life, letter)
        assert answer["verdict"] == "refused"
        assert "its service blur was deleted; apply a service" in answer["reason"]
        await life.apply(service())
        [answer] = await sent(life, letter)
        assert "the one of that name now is another service" in answer["reason"]
        assert "replay --service blur" in answer["reason"]
        assert await life.count(queue) == 0

    async def test_they_are_found_by_service_class_and_time_and_page_by_page(self, life: Life) -> None:
        await life.take_role()
        one, two = await life.apply(service("a")), await life.apply(service("b", path="pics/b", out="pics/c"))
        of_one = [await dead(life, one) for _ in range(3)]
        of_two = await dead(life, two, file_event(b"b/x"))
        # One of them died of something else, an hour ago.
        old = of_one[0]
        changed = update(executions).where(executions.c.id == old).values(failure="permanent", ended_at=1_000)
        await life.ledger.write(lambda c: c.execute(changed).close())
        assert await letters(life, Filters(service="b")) == [of_two]
        assert await letters(life, Filters(failure=FailureClass.PERMANENT)) == [old]
        assert set(await letters(life, Filters(since_ms=1_001))) == {*of_one[1:], of_two}
        every = await letters(life)
        first = await life.ledger.read(lambda c: redrive.page(c, Filters(), limit=2))
        await sent(life, first[-1]["id"])  # what is sent meanwhile is no obstacle to going on behind it
        rest = await life.ledger.read(lambda c: redrive.page(c, Filters(), before=first[-1]["id"]))
        assert [one["id"] for one in [*first, *rest]] == every
        with pytest.raises(NotFoundError, match="no run nowhere"):
            await life.ledger.read(lambda c: redrive.page(c, Filters(), before="nowhere"))

    async def test_one_is_shown_with_its_event_and_the_end_of_each_log(self, life: Life) -> None:
        await life.take_role()
        uid, event = await life.apply(service()), file_event()
        letter = await dead(life, uid, event)
        shown = await life.ledger.read(lambda c: redrive.show(c, letter[:20]))
        assert shown["id"] == letter
        assert codec.decode(shown["envelope"]) == event
        assert [(one["number"], one["exit_code"], one["log_tail"]) for one in shown["attempts"]] == [(1, 7, b"log")]
        assert (shown["refused"], shown["redriven_as"]) == ("", None)

    async def test_a_purged_one_leaves_a_row_that_keeps_its_event_from_starting_again(self, life: Life) -> None:
        await life.take_role()
        uid, event = await life.apply(service()), file_event()
        letter = await dead(life, uid, event)
        purged = await life.ledger.write(lambda c: redrive.purge(c, [letter, letter]))
        assert [answer["verdict"] for answer in purged] == ["done", "already"]
        assert await letters(life) == []
        assert await self.envelope(life) == PURGED
        assert await life.ledger.read(lambda c: c.execute(select(attempts.c.log)).scalar_one()) is None
        assert await life.claim(event) == set()
        assert await self.envelope(life) == PURGED  # nor does telling it again bring its event back
        [answer] = await sent(life, letter)
        assert answer["verdict"] == "refused"
        assert "it was purged" in answer["reason"]
        assert "replay --as-new --service blur" in answer["reason"]  # without, its row says that it ran

    async def test_a_purged_one_keeps_the_file_from_starting_again_whose_time_was_set_back(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        letter = await dead(life, uid, file_event(inode=7, mtime_ns=2_000))
        await life.ledger.write(lambda c: redrive.purge(c, [letter]))
        # What `cp -p` leaves behind: each listing tells of it, under the time it was given after it was closed.
        assert await life.claim(file_event(inode=7, mtime_ns=1_000)) == set()

    async def test_a_purged_event_that_starts_another_service_has_its_content_again(self, life: Life) -> None:
        await life.take_role()
        event = file_event()
        letter = await dead(life, await life.apply(service()), event)
        await life.ledger.write(lambda c: redrive.purge(c, [letter]))
        other = await life.apply(service("other", out="pics/other"))
        assert await life.claim(event) == {other}
        (held,) = await life.lease(other)
        assert codec.decode(held.envelope) == event
        assert (await life.ledger.read(lambda c: redrive.show(c, letter)))["envelope"] is None

    async def test_an_event_that_another_run_needs_is_not_purged_with_the_first(self, life: Life) -> None:
        await life.take_role()
        uid, event = await life.apply(service()), file_event()
        letter = await dead(life, uid, event)
        await sent(life, letter)
        await life.ledger.write(lambda c: redrive.purge(c, [letter]))
        (held,) = await life.lease(uid)
        assert codec.decode(held.envelope) == event


WISH = Wish("blur", 0, 10**13)


async def begun(life: Life, *, end: int = 4, as_new: bool = False, service_name: str = "blur") -> str:
    """Return a replay of two partitions: offsets 2 to end of the first, nothing of the second."""
    wish = Wish(service_name, WISH.from_ms, WISH.to_ms, as_new)
    return await life.ledger.write(lambda c: replays.begin(c, "default", wish, "topic", {0: (2, end), 1: (7, 7)}, ""))


class ReplaysContract:
    async def advance(self, life: Life, replay: str, seen: list[StorageEvent], start: int, there: int) -> int:
        sightings = [sighting(event) for event in seen]
        return await life.ledger.write(
            lambda c: replays.advance(c, life.catalogue, replay, sightings, {0: (start, there)})
        )

    async def shown(self, life: Life, replay: str) -> dict[str, Any]:
        return await life.ledger.read(lambda c: replays.show(c, replay))

    async def test_it_starts_what_has_no_run_for_its_service_alone(self, life: Life) -> None:
        events_of = [file_event(), file_event()]
        uid, _ = await life.apply(service()), await life.apply(service("other", out="pics/other"))
        await life.ledger.write(lambda c: claims.claim(c, Catalogue(), [sighting(events_of[0])]))
        replay = await begun(life)
        assert await self.advance(life, replay, events_of, 2, 4) == 1
        shown = await self.shown(life, replay)
        assert {name: shown[name] for name in ("read", "matched", "made", "there", "left")} == {
            "read": 2,
            "matched": 2,
            "made": 1,
            "there": 1,
            "left": 0,
        }
        assert shown["ended_at"] is not None
        assert await life.state(run_id(uid, events_of[1])) is State.PENDING
        assert await life.count(executions) == 3  # both of blur, and the other's from before

    async def test_a_batch_that_comes_twice_or_too_late_is_nothing(self, life: Life) -> None:
        await life.apply(service())
        replay, event = await begun(life), file_event()
        assert await self.advance(life, replay, [event], 2, 3) == 1
        assert await self.advance(life, replay, [event], 2, 3) == 0
        shown = await self.shown(life, replay)
        assert (shown["read"], shown["left"]) == (1, 1)

    async def test_as_new_it_runs_again_what_ran_once_per_replay(self, life: Life) -> None:
        uid, event = await life.apply(service()), file_event()
        await life.claim(event)
        first, second = await begun(life, as_new=True), await begun(life, as_new=True)
        assert [await self.advance(life, one, [event, event], 2, 3) for one in (first, second)] == [1, 1]
        new = execution_id("default", uid, event.id, "replay", first)
        assert (await life.ledger.read(lambda c: runs.show(c, new)))["replay"] == first
        assert await life.count(executions) == 3

    async def test_an_event_brought_for_another_service_is_taken_and_one_of_a_route_of_another_is_not(
        self, life: Life
    ) -> None:
        await life.apply(service())
        replay = await begun(life)
        brought, routed = file_event(service_uids=("uid of another",)), file_event(service="another")
        assert await self.advance(life, replay, [brought, routed], 2, 4) == 1

    async def test_a_range_with_nothing_in_it_has_ended_when_it_begins(self, life: Life) -> None:
        await life.apply(service())
        replay = await begun(life, end=2)
        assert (await self.shown(life, replay))["ended_at"] is not None
        assert await life.ledger.read(replays.unfinished) == []
        assert await life.ledger.read(lambda c: replays.going_on(c, replay)) is None

    async def test_it_goes_on_from_where_it_was(self, life: Life) -> None:
        await life.apply(service())
        replay = await begun(life)
        await self.advance(life, replay, [file_event()], 2, 3)
        assert await life.ledger.read(replays.unfinished) == [replay]
        going = await life.ledger.read(lambda c: replays.going_on(c, replay))
        assert going is not None
        assert (going.topic_id, dict(going.left)) == ("topic", {0: (3, 4)})

    async def test_when_its_service_is_deleted_it_ends_and_says_so(self, life: Life) -> None:
        await life.apply(service())
        replay = await begun(life)
        await life.ledger.write(lambda c: services.end(c, "default", "blur"))
        await life.apply(service())  # another one of that name is not meant
        assert await self.advance(life, replay, [file_event()], 2, 3) == 0
        shown = await self.shown(life, replay)
        assert (shown["ended_at"] is not None, shown["reason"]) == (True, "its service was deleted")
        assert await life.count(executions) == 0

    async def test_what_the_log_lost_is_passed_over_and_told(self, life: Life) -> None:
        await life.apply(service())
        replay = await begun(life, end=9)
        await life.ledger.write(lambda c: replays.pass_gap(c, replay, 0, 2, 5))
        await life.ledger.write(lambda c: replays.pass_gap(c, replay, 0, 2, 5))  # seen by two
        shown = await self.shown(life, replay)
        assert shown["left"] == 4
        assert shown["reason"] == "the log lost 3 records of partition 0 before they were read"
        await life.ledger.write(lambda c: replays.pass_gap(c, replay, 0, 5, 20))
        assert (await self.shown(life, replay))["ended_at"] is not None

    async def test_for_a_service_that_is_not_there_none_begins(self, life: Life) -> None:
        with pytest.raises(NotFoundError, match="no service 'nobody'"):
            await begun(life, service_name="nobody")
        with pytest.raises(NotFoundError, match="no replay 'nowhere'"):
            await self.shown(life, "nowhere")
        assert await life.ledger.read(replays.listing) == []


class MessagesContract:
    async def test_a_message_starts_the_service_its_route_names_and_no_other(self, life: Life) -> None:
        uid, _ = await life.apply(service("a")), await life.apply(service("b", out="pics/b"))
        message = file_event(action=Action.RECEIVED, service="a")
        assert await life.claim(message) == {uid}
        assert await life.claim(message) == set()
        assert await life.ledger.read(lambda c: c.execute(select(executions.c.input)).scalar_one()) == claims.NO_INPUT

    @pytest.mark.parametrize("name", [None, "nobody"])
    async def test_a_message_for_nobody_starts_nothing(self, life: Life, name: str | None) -> None:
        await life.apply(service("a"))
        assert await life.claim(file_event(action=Action.RECEIVED, service=name)) == set()

    async def test_a_message_for_a_service_that_was_deleted_starts_nothing(self, life: Life) -> None:
        await life.apply(service("a"))
        await life.claim(file_event())
        await life.ledger.write(lambda c: services.end(c, "default", "a"))
        assert await life.claim(file_event(action=Action.RECEIVED, service="a")) == set()


class SettledContract:
    async def test_what_is_settled_stays_as_it_was_settled_first(self, life: Life) -> None:
        await life.ledger.write(lambda c: settled.settle(c, "t", [(0, 1), (0, 3), (1, 2)], How.REDRIVEN))
        await life.ledger.write(lambda c: settled.settle(c, "t", [(0, 3), (0, 4)], How.PURGED))
        await life.ledger.write(lambda c: settled.settle(c, "t", [], How.PURGED))
        found = await life.ledger.read(lambda c: settled.settled(c, "t", 0, 1, 5))
        assert found == {1: How.REDRIVEN, 3: How.REDRIVEN, 4: How.PURGED}
        assert await life.ledger.read(lambda c: settled.settled(c, "t", 0, 2, 4)) == {3: How.REDRIVEN}
        assert await life.ledger.read(lambda c: settled.settled(c, "another life of it", 0, 0, 9)) == {}
