"""The machine can fail: mistakes a dispatcher might be made with are found, each by what happens to it in a few steps.

The same steps without the mistake go well: so it is the mistake that is found, and not the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from oscar_dispatcher.batch import Claimer, Reading
from oscar_dispatcher.held import HeldPartitions
from oscar_dispatcher.outbox import OutboxPublisher
from oscar_dispatcher.watch import Watch
from oscar_events.errors import FencedError, LedgerError
from oscar_events.ledger import claims, ends, outbox
from oscar_events.ledger.ends import ToRecord
from oscar_events.ledger.outbox import Waiting
from oscar_events.ledger.positions import Position
from tests.statemachine.dispatching import Dispatching
from tests.statemachine.faults import Fault

Make = Callable[[pytest.MonkeyPatch], None]


def a_position_is_stored_though_its_claim_fails(patch: pytest.MonkeyPatch) -> None:
    async def write(self: Claimer, readings: Sequence[Reading], read: Sequence[Position]) -> None:
        sightings = [one.sighting for one in readings if one.sighting is not None]
        for some, until in (([], read), (sightings, [])):
            await self._progress.patiently(
                lambda some=some, until=until: self._ledger.write(  # type: ignore[misc]
                    lambda c: claims.claim(c, self._catalogue, some, until)
                ),
                "claiming in two steps",
            )
        self._wake()

    patch.setattr(Claimer, "_write", write)


def killed_between_position_and_claim(platform: Dispatching) -> None:
    platform.time_passes(5)
    platform.the_ledger_fails_at("claim", [None] + [Fault.NOT_DONE] * 9)
    platform.events_are_published(1, 0.1)
    platform.a_dispatcher_is_killed(0, scripts_live_on=False)


def an_end_that_may_not_be_recorded_is_not_told_again(patch: pytest.MonkeyPatch) -> None:
    async def write_ends(self: Watch, epoch: int, wanted: Sequence[ToRecord]) -> Any:
        try:
            return await self._ledger.write(lambda c: [*ends.end_all(c, epoch, wanted)])
        except LedgerError as error:
            raise FencedError(str(error)) from error

    patch.setattr(Watch, "_write_ends", write_ends)


def an_end_fails(platform: Dispatching) -> None:
    platform.time_passes(5)
    platform.events_are_published(1, 2)
    platform.the_ledger_fails_at("end", [Fault.NOT_DONE])
    platform.an_attempt_ends(0, "succeeded", 0.1)


def what_is_tried_again_is_not_queued(patch: pytest.MonkeyPatch) -> None:
    def forget(connection: object, pending: Iterable[object]) -> None:
        list(pending)

    patch.setattr(ends, "requeue", forget)


def an_attempt_fails(platform: Dispatching) -> None:
    platform.time_passes(5)
    platform.events_are_published(1, 2)
    platform.an_attempt_ends(0, "infrastructure", 0.1)
    platform.an_execution_is_queued_once_if_it_is_pending_and_else_not()


def a_partition_that_has_to_wait_is_forgotten_over_another(patch: pytest.MonkeyPatch) -> None:
    keep = HeldPartitions.keep

    async def keep_the_last(self: HeldPartitions, refused: Sequence[Reading]) -> None:
        self._refused = {}
        await keep(self, refused)

    patch.setattr(HeldPartitions, "keep", keep_the_last)


def the_quarantine_is_away(platform: Dispatching) -> None:
    platform.time_passes(5)
    platform.the_bus_fails_for_a_time("quarantine", Fault.NOT_DONE, 5)
    platform.some_records_are_published(["refused"] * 3 + ["no event"] * 5 + ["event"] * 3, 2)


def the_outbox_is_cleared_before_it_is_published(patch: pytest.MonkeyPatch) -> None:
    publish = OutboxPublisher._publish

    async def clear_first(self: OutboxPublisher, rows: list[Waiting]) -> None:
        ids = [row.id for row in rows]
        await self._ledger.write(lambda c: outbox.acknowledged(c, ids))
        await publish(self, rows)

    patch.setattr(OutboxPublisher, "_publish", clear_first)


def killed_while_the_bus_is_away(platform: Dispatching) -> None:
    platform.time_passes(5)
    platform.events_are_published(1, 2)
    platform.the_bus_fails_for_a_time("publish", Fault.NOT_DONE, 5)
    platform.an_attempt_ends(0, "succeeded", 0.5)
    platform.a_dispatcher_is_killed(0, scripts_live_on=False)


@pytest.mark.parametrize(
    ("mistake", "happen"),
    [
        (a_position_is_stored_though_its_claim_fails, killed_between_position_and_claim),
        (an_end_that_may_not_be_recorded_is_not_told_again, an_end_fails),
        (what_is_tried_again_is_not_queued, an_attempt_fails),
        (a_partition_that_has_to_wait_is_forgotten_over_another, the_quarantine_is_away),
        (the_outbox_is_cleared_before_it_is_published, killed_while_the_bus_is_away),
    ],
)
def test_a_mistake_is_found_by_steps_that_go_well_without_it(
    mistake: Make, happen: Callable[[Dispatching], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    live(happen)
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        live(happen)


def live(happen: Callable[[Dispatching], None]) -> None:
    """Have a platform live through these steps and what follows them."""
    platform = Dispatching()
    try:
        happen(platform)
    finally:
        platform.teardown()
