"""What people may ask of the platform, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest

from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError, ConflictError, NotFoundError, ServiceError
from oscar_events.ledger import ends, services
from oscar_events.ledger.port import Ledger
from oscar_events.manager.control import Control
from tests.unit.oscar_events.manager.runs_in_ledger import begin, drop, finish

Document = dict[str, Any]


async def test_an_applied_service_has_its_directories_and_is_listed(
    control: Control, directory: DataDirectory, blur: Document
) -> None:
    [applied] = await control.apply([blur])
    assert (applied["name"], applied["change"], applied["revision"]) == ("blur", "created", 1)
    assert (directory.buckets / "pics/in").is_dir()
    assert (directory.buckets / "pics/out").is_dir()
    assert [service["uid"] for service in await control.services()] == [applied["uid"]]
    assert (await control.service("blur"))["definition"]["script"] == blur["script"]


async def test_applying_again_says_what_changed(control: Control, blur: Document) -> None:
    await control.apply([blur])
    assert [one["change"] for one in await control.apply([blur])] == ["unchanged"]
    [updated] = await control.apply([{**blur, "image": "alpine"}])
    assert (updated["change"], updated["revision"]) == ("updated", 2)


async def test_of_several_services_none_is_applied_if_one_is_wrong(control: Control, blur: Document) -> None:
    into_itself = {**blur, "name": "loop", "output": blur["input"]}
    with pytest.raises(ServiceError, match="would start loop -> loop"):
        await control.apply([blur, into_itself])
    assert await control.services() == []


async def test_a_provider_that_is_not_here_is_refused_before_anything_is_made(
    control: Control, directory: DataDirectory, blur: Document
) -> None:
    elsewhere = {**blur, "output": [{"storage_provider": "s3.mine", "path": "results/out"}]}
    with pytest.raises(
        ServiceError, match=r"output\[0\]\.storage_provider: s3\.mine is not defined; define it .*: local.default, m"
    ):
        await control.apply([elsewhere])
    assert list(directory.buckets.iterdir()) == []


async def test_a_service_written_for_minio_runs_here_and_its_author_is_told_where(
    control: Control, directory: DataDirectory, blur: Document
) -> None:
    blur["input"] = [{"storage_provider": "minio", "path": "pics/in"}]
    [applied] = await control.apply([blur])
    assert f"input[0]: minio.default is the directory {directory.buckets / 'pics/in'} here" in applied["warnings"]


async def test_every_author_is_told_that_the_image_is_not_used(control: Control, blur: Document) -> None:
    [applied] = await control.apply([blur])
    assert any("without its image" in warning for warning in applied["warnings"])


async def test_a_directory_that_cannot_be_made_is_told_and_nothing_applied(
    control: Control, directory: DataDirectory, blur: Document
) -> None:
    (directory.buckets / "pics").touch()
    with pytest.raises(ConfigurationError, match=r"blur: input\[0\].path: cannot make"):
        await control.apply([blur])
    assert await control.services() == []


async def test_the_reconciler_looks_from_the_time_of_the_apply_on(
    control: Control, ledger: Ledger, directory: DataDirectory, blur: Document
) -> None:
    before = directory.storage_time()
    await control.apply([blur])
    [stored] = await ledger.read(services.active)
    assert before.replace(microsecond=0) <= stored.since[0] <= directory.storage_time()


async def test_deleting_a_service_cancels_what_waits_and_leaves_what_runs(
    control: Control, ledger: Ledger, woken: list[str], blur: Document
) -> None:
    [applied] = await control.apply([blur])
    await drop(ledger, "in/running.png")
    _, running = await begin(ledger, applied["uid"])
    await drop(ledger, "in/waiting.png")
    [waiting] = [run["id"] for run in await control.runs(state="pending")]
    ended = await control.delete_service("blur")
    assert (ended["cancelled"], ended["running"]) == ([waiting], [running.execution])
    assert (await control.run(waiting))["state"] == "cancelled"
    assert (await control.run(running.execution))["cancel_requested"] is False
    assert woken
    with pytest.raises(NotFoundError, match="there is no service 'blur'"):
        await control.service("blur")


async def test_a_deleted_service_leaves_nothing_waiting_however_much_did(
    control: Control, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, blur: Document
) -> None:
    monkeypatch.setattr(ends, "PER_UNIT", 2)
    await control.apply([blur])
    for number in range(5):
        await drop(ledger, f"in/{number}.png")
    waiting = {run["id"] for run in await control.runs(state="pending")}
    assert set((await control.delete_service("blur"))["cancelled"]) == waiting
    assert await control.runs(state="pending") == []


async def test_deleting_a_service_with_kill_asks_what_runs_to_stop(
    control: Control, ledger: Ledger, blur: Document
) -> None:
    [applied] = await control.apply([blur])
    await drop(ledger, "in/running.png")
    _, running = await begin(ledger, applied["uid"])
    await control.delete_service("blur", kill=True)
    assert (await control.run(running.execution))["cancel_requested"] is True


async def test_a_run_can_be_cancelled_until_it_has_ended(
    control: Control, ledger: Ledger, woken: list[str], blur: Document
) -> None:
    [applied] = await control.apply([blur])
    await drop(ledger, "in/a.png")
    epoch, running = await begin(ledger, applied["uid"])
    assert (await control.cancel(running.execution[:8]))["state"] == "submitted"
    assert woken
    await finish(ledger, epoch, running)
    with pytest.raises(ConflictError, match="has ended already: succeeded"):
        await control.cancel(running.execution)


async def test_the_log_comes_from_the_backend_while_it_runs_and_from_the_ledger_after(
    control: Control, ledger: Ledger, blur: Document
) -> None:
    [applied] = await control.apply([blur])
    await drop(ledger, "in/a.png")
    epoch, running = await begin(ledger, applied["uid"])
    assert await control.log(running.execution) == b"so far"
    await finish(ledger, epoch, running, exit_code=3, log=b"all of it\xff")
    assert await control.log(running.execution, 1) == b"all of it\xff"
    with pytest.raises(NotFoundError, match="has no attempt 2"):
        await control.log(running.execution, 2)


async def test_runs_are_listed_newest_first_and_page_by_page(control: Control, ledger: Ledger, blur: Document) -> None:
    await control.apply([blur])
    for number in range(5):
        await drop(ledger, f"in/{number}.png")
    every = [run["id"] for run in await control.runs()]
    first = [run["id"] for run in await control.runs(limit=2)]
    rest = [run["id"] for run in await control.runs(before=first[-1])]
    assert len(every) == 5
    assert first + rest == every


async def test_an_unknown_state_is_refused_with_those_there_are(control: Control) -> None:
    with pytest.raises(ConfigurationError, match="'failed' is no state of a run; one of pending, leased"):
        await control.runs(state="failed")


async def test_a_run_is_shown_with_the_note_on_its_image(control: Control, ledger: Ledger, blur: Document) -> None:
    await control.apply([blur])
    await drop(ledger, "in/a.png")
    [run] = await control.runs()
    assert "without its image" in (await control.run(run["id"]))["note"]


async def test_what_the_author_was_told_of_the_file_is_shown_with_the_service(control: Control, blur: Document) -> None:
    await control.apply([{**blur, "sufix": "png", "memory": "1Gi"}], {"blur": ["blur.yaml, line 3: as the file says"]})
    warnings = (await control.service("blur"))["warnings"]
    assert warnings[0] == "blur.yaml, line 3: as the file says"
    assert any("sufix" in warning for warning in warnings)
    assert any(warning.startswith("memory: kept, and not done here") for warning in warnings)
    await control.apply([blur], {"blur": []})
    assert not any("sufix" in warning for warning in (await control.service("blur"))["warnings"])
