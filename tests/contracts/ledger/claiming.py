"""What every ledger promises about services and claims: one execution per event and service, matched at that moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, select

from oscar_events import codec
from oscar_events.errors import NotFoundError, ServiceError
from oscar_events.event import Action, StorageEvent
from oscar_events.execution import State
from oscar_events.ledger import claims, ends, runs, services
from oscar_events.ledger.positions import LedgerForgotError, Position, record_gap, stored_positions
from oscar_events.ledger.tables import events, executions, outbox, queue
from tests.contracts.ledger.making import EARLY, Life, file_event, run_id, service


class ServicesContract:
    async def test_an_applied_service_has_a_uid_that_its_updates_keep(self, life: Life) -> None:
        first = await life.ledger.write(lambda c: services.apply(c, "default", service(), EARLY))
        same = await life.ledger.write(lambda c: services.apply(c, "default", service(), EARLY))
        other = await life.ledger.write(lambda c: services.apply(c, "default", service(concurrency=2), EARLY))
        assert [one.change for one in (first, same, other)] == ["created", "unchanged", "updated"]
        assert [one.revision for one in (first, same, other)] == [1, 1, 2]
        assert len({one.uid for one in (first, same, other)}) == 1

    async def test_a_deleted_service_gives_its_name_free_but_not_its_uid(self, life: Life) -> None:
        uid = await life.apply(service())
        await life.ledger.write(lambda c: services.end(c, "default", "blur"))
        with pytest.raises(NotFoundError, match="no service 'blur'"):
            await life.ledger.write(lambda c: services.end(c, "default", "blur"))
        assert await life.apply(service()) != uid

    async def test_an_input_keeps_its_time_while_its_provider_and_path_stay(self, life: Life) -> None:
        later = datetime(2026, 6, 1, tzinfo=UTC)
        await life.apply(service())
        await life.apply(service(concurrency=2), since=later)
        (stored,) = await life.ledger.read(services.active)
        assert stored.since == (EARLY,)
        await life.apply(service(path="pics/elsewhere"), since=later)
        (stored,) = await life.ledger.read(services.active)
        assert stored.since == (later,)

    async def test_services_seen_in_a_transaction_that_was_undone_are_not_mistaken_for_those_of_the_next(
        self, life: Life
    ) -> None:
        catalogue = services.Catalogue()

        def undone(connection: Connection) -> None:
            services.apply(connection, "default", service("lost"), EARLY)
            catalogue.refresh(connection)
            raise InterruptedError

        with pytest.raises(InterruptedError):
            await life.ledger.write(undone)
        await life.apply(service("kept"))
        await life.ledger.read(catalogue.refresh)
        assert [stored.service.name for stored in catalogue.services.values()] == ["kept"]

    async def test_a_service_that_would_start_itself_is_refused(self, life: Life) -> None:
        with pytest.raises(ServiceError, match="blur -> blur"):
            await life.apply(service(out="pics/in/small"))

    async def test_a_service_that_would_start_itself_through_others_is_refused_and_nothing_is_kept(
        self, life: Life
    ) -> None:
        await life.apply(service("a", path="pics/one", out="pics/two"))
        with pytest.raises(ServiceError, match="for ever"):
            await life.apply(service("b", path="pics/two", out="pics/one"))
        assert [stored.service.name for stored in await life.ledger.read(services.active)] == ["a"]


def _listed(etag: str, uid: str) -> StorageEvent:
    """Return what a listing brings of a store that tells its notifications more than its listings."""
    listed = replace(file_event(), file_id=None, modified_ns=None, etag=etag)
    return replace(listed, by_etag=True, service_uids=(uid,))


class ClaimsContract:
    async def test_what_a_listing_brings_of_a_content_the_service_has_had_starts_nothing(self, life: Life) -> None:
        had, other = await life.apply(service("a")), await life.apply(service("b", out="pics/b"))
        told = replace(file_event(), file_id=None, modified_ns=None, etag="e1", service="a")
        assert await life.claim(told) == {had}
        assert await life.claim(_listed("e1", had)) == set()
        assert await life.claim(_listed("e2", had)) == {had}
        assert await life.claim(_listed("e1", other)) == {other}  # it never had it

    async def test_a_notification_and_a_listing_of_one_content_in_one_batch_start_one_run(self, life: Life) -> None:
        uid = await life.apply(service())
        told = replace(file_event(), file_id=None, modified_ns=None, etag="e1")
        assert await life.claim(told, _listed("e1", uid), _listed("e1", uid)) == {uid}
        assert await life.count(executions) == 1

    async def test_the_same_content_uploaded_again_is_a_new_event_if_a_notification_says_so(self, life: Life) -> None:
        uid = await life.apply(service())
        for _ in range(2):
            again = replace(file_event(), file_id=None, modified_ns=None, etag="e1")
            assert await life.claim(again) == {uid}

    async def test_an_event_starts_each_service_that_matches_once_however_often_it_is_told(self, life: Life) -> None:
        one, two = await life.apply(service("a")), await life.apply(service("b", out="pics/b"))
        event = file_event()
        assert await life.claim(event, event) == {one, two}
        assert await life.claim(event) == set()
        assert await life.count(executions) == 2
        assert await life.count(queue) == 2
        assert await life.count(events) == 1

    async def test_an_event_that_matches_nothing_is_not_kept(self, life: Life) -> None:
        await life.apply(service())
        assert await life.claim(file_event(b"elsewhere/a.png")) == set()
        assert await life.count(events) == 0

    async def test_a_service_applied_before_the_claim_is_never_missed(self, life: Life) -> None:
        await life.claim(file_event())
        uid = await life.apply(service())
        assert await life.claim(file_event()) == {uid}

    async def test_a_service_deleted_before_the_claim_starts_nothing(self, life: Life) -> None:
        await life.apply(service())
        await life.claim(file_event())
        await life.ledger.write(lambda c: services.end(c, "default", "blur"))
        assert await life.claim(file_event()) == set()

    async def test_only_created_objects_start_something(self, life: Life) -> None:
        await life.apply(service())
        assert await life.claim(file_event(action=Action.REMOVED)) == set()

    async def test_an_event_for_named_services_starts_only_those(self, life: Life) -> None:
        one, _ = await life.apply(service("a")), await life.apply(service("b", out="pics/b"))
        assert await life.claim(file_event(service_uids=(one,))) == {one}

    async def test_an_event_of_a_route_bound_to_a_service_starts_only_that(self, life: Life) -> None:
        _, two = await life.apply(service("a")), await life.apply(service("b", out="pics/b"))
        assert await life.claim(file_event(service="b")) == {two}

    async def test_a_route_bound_to_one_service_puts_no_words_into_the_run_of_another(self, life: Life) -> None:
        own = await life.apply(service("own"))
        blur = await life.apply(service("blur"))
        true = file_event(etag="true")
        forged = replace(true, service="own", etag="forged")
        await life.claim(forged)
        await life.claim(true)
        await life.take_role()
        told = {
            held.service_uid: codec.decode(held.envelope).etag for uid in (own, blur) for held in await life.lease(uid)
        }
        assert told == {own: "forged", blur: "true"}

    async def test_a_time_set_back_after_closing_is_the_same_version(self, life: Life) -> None:
        uid = await life.apply(service())
        assert await life.claim(file_event(inode=7, mtime_ns=2_000)) == {uid}
        assert await life.claim(file_event(inode=7, mtime_ns=1_000)) == set()

    async def test_a_time_set_back_within_one_batch_is_the_same_version(self, life: Life) -> None:
        await life.apply(service())
        await life.claim(file_event(inode=7, mtime_ns=2_000), file_event(inode=7, mtime_ns=1_000))
        assert await life.count(executions) == 1

    @pytest.mark.parametrize(
        "second",
        [
            {"inode": 7, "mtime_ns": 3_000},  # written again
            {"inode": 8, "mtime_ns": 1_000},  # replaced by an older file
            {"inode": 7, "mtime_ns": 1_000, "size": 4},  # another content, whatever its time
        ],
    )
    async def test_another_version_of_a_file_is_another_event(self, life: Life, second: dict[str, int]) -> None:
        uid = await life.apply(service())
        assert await life.claim(file_event(inode=7, mtime_ns=2_000)) == {uid}
        assert await life.claim(file_event(**second)) == {uid}  # type: ignore[arg-type]

    async def test_a_version_claimed_by_one_service_is_still_new_to_another(self, life: Life) -> None:
        await life.apply(service("a"))
        await life.claim(file_event(inode=7, mtime_ns=2_000))
        two = await life.apply(service("b", out="pics/b"))
        assert await life.claim(file_event(inode=7, mtime_ns=1_000)) == {two}

    async def test_keys_of_any_bytes_can_be_claimed_and_shown(self, life: Life) -> None:
        await life.apply(service())
        await life.claim(file_event(b"in/caf\xe9\n+%41.png"))
        (run,) = await life.ledger.read(runs.page)
        assert run["key"] == "in/caf\\xe9\\n+%41.png"

    async def test_a_claim_that_would_hide_what_the_ledger_forgot_is_refused_whole(self, life: Life) -> None:
        await life.apply(service())
        await life.claim(read=[Position("t", 0, 5), Position("t", 1, 2)])
        for lost in (Position("t", 0, 9, since=7), Position("t", 2, 1, since=0)):
            with pytest.raises(LedgerForgotError, match=str(lost.partition)):
                await life.claim(file_event(), read=[Position("t", 1, 3, since=2), lost])
        assert await life.count(executions) == 0
        assert await life.ledger.read(lambda c: stored_positions(c, "t")) == {0: 5, 1: 2}
        # Others may have come further meanwhile, and of what was never stored nothing is known.
        await life.claim(file_event(), read=[Position("t", 0, 9, since=4), Position("t", 3, 1)])
        assert await life.ledger.read(lambda c: stored_positions(c, "t")) == {0: 9, 1: 2, 3: 1}

    async def test_positions_are_stored_with_the_claims_and_never_go_back(self, life: Life) -> None:
        await life.claim(read=[Position("t", 0, 5), Position("t", 1, 2)])
        await life.claim(read=[Position("t", 0, 3)])
        assert await life.ledger.read(lambda c: stored_positions(c, "t")) == {0: 5, 1: 2}
        assert await life.ledger.read(lambda c: stored_positions(c, "another life of it")) == {}

    async def test_a_gap_is_recorded_and_passed(self, life: Life) -> None:
        await life.ledger.write(lambda c: record_gap(c, "t", 0, wanted=5, first=9))
        assert await life.ledger.read(lambda c: stored_positions(c, "t")) == {0: 9}

    async def test_executions_that_have_a_row_are_known(self, life: Life) -> None:
        uid = await life.apply(service())
        event = file_event()
        await life.claim(event)
        here = run_id(uid, event)
        assert await life.ledger.read(lambda c: claims.known(c, [here, "elsewhere"])) == {here}

    async def test_what_waits_for_a_deleted_service_is_cancelled_and_what_runs_is_not(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        held = await life.running(uid)
        waiting = file_event()
        await life.claim(waiting)
        await life.ledger.write(lambda c: services.end(c, "default", "blur"))
        await life.ledger.write(lambda c: ends.cancel_service(c, uid, running_too=False))
        assert await life.state(run_id(uid, waiting)) is State.CANCELLED
        assert await life.state(held.execution) is State.SUBMITTED
        requested = select(executions.c.cancel_requested).where(executions.c.id == held.execution)
        assert not await life.ledger.read(lambda c: c.execute(requested).scalar_one())

    async def test_however_much_waits_for_a_deleted_service_it_is_cancelled_some_at_a_time(
        self, life: Life, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ends, "PER_UNIT", 3)
        await life.take_role()
        uid = await life.apply(service())
        running = await life.running(uid)
        await life.claim(*(file_event() for _ in range(7)))
        await life.ledger.write(lambda c: services.end(c, "default", "blur"))
        cancel = lambda c: ends.cancel_service(c, uid, running_too=True)  # noqa: E731
        found = [await life.ledger.write(cancel) for _ in range(4)]
        assert [len(some) for some in found] == [3, 3, 2, 0]
        assert running.execution in {run for some in found for run in some}
        assert (await life.count(queue), await life.count(outbox)) == (0, 7)

    async def test_what_nobody_cancelled_of_a_deleted_service_is_cancelled_instead_of_leased(
        self, life: Life, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ends, "PER_UNIT", 3)
        await life.take_role()
        uid = await life.apply(service())
        await life.claim(*(file_event() for _ in range(4)))
        await life.ledger.write(lambda c: services.end(c, "default", "blur"))
        assert [await life.lease(uid), await life.count(queue)] == [[], 1]
        assert [await life.lease(uid), await life.count(queue)] == [[], 0]
