"""Why an object did or did not run: what people are told, from a real ledger, a log, and real files."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from oscar_events import codec
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS, QUARANTINE
from oscar_events.config import PlatformConfig
from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError
from oscar_events.event import Action, Raw, StorageEvent
from oscar_events.identity import message_source, object_source
from oscar_events.job import FailureClass, Outcome, Report
from oscar_events.ledger import claims, ends, tables
from oscar_events.ledger.claims import Sighting
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.positions import Position
from oscar_events.ledger.services import Catalogue
from oscar_events.manager import event_log, journal
from oscar_events.manager.control import Control
from oscar_events.manager.laptop import laptop_control
from oscar_events.quarantine import quarantine_record
from oscar_events.record import Record
from oscar_events.service import RetrySettings
from tests.unit.oscar_events.manager.runs_in_ledger import begin, finish

Document = dict[str, Any]
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


def event(key: str = "in/a.png", **more: Any) -> StorageEvent:
    """Return an event that came in just now, later than any service was applied."""
    now = datetime.now(UTC) + timedelta(seconds=1)
    fields: dict[str, Any] = {
        "id": f"folder-{key}",
        "provider": "local.default",
        "bucket": "pics",
        "key": key.encode(),
        "source": object_source("local.default", "pics"),
        "time": now,
        "recorded": now,
        "raw": Raw(b"{}"),
        "kind": "folder",
        "size": 3,
        "adapter": "folder",
    }
    return StorageEvent(**{**fields, **more})


async def arrive(ledger: Ledger, bus: MemoryBus, *told: StorageEvent, is_read: bool = True) -> None:
    """Have events published and, unless intake is behind, claimed."""
    records = [codec.encode(one) for one in told]
    places = await bus.publish(EVENTS, records)
    if is_read:
        topic = await bus.topic_id(EVENTS)
        seen = [Sighting(one, record.value) for one, record in zip(told, records, strict=True)]
        read = [Position(topic, partition.number, offset + 1) for partition, offset in places]
        await ledger.write(lambda connection: claims.claim(connection, Catalogue(), seen, read))


async def why(control: Control, key: str = "in/a.png", **more: Any) -> dict[str, Any]:
    return await control.journal.why("pics", key.encode(), **{"since": YESTERDAY, **more})


def verdicts(event: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["service"]: (one["verdict"], one["reason"]) for one in event["services"]}


async def test_the_run_an_event_started_is_told_with_its_attempts_and_the_end_of_its_log(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    [applied] = await control.apply([blur])
    await arrive(ledger, bus, event())
    await finish(
        ledger, *await begin(ledger, applied["uid"]), exit_code=7, log=b"".join(b"%d\n" % n for n in range(99))
    )
    [seen] = (await why(control))["events"]
    assert [(one["source"], one["reason"]) for one in seen["seen"]] == [("folder", "")]
    [[run]] = [one["runs"] for one in seen["services"]]
    assert (run["state"], run["attempts"][0]["exit_code"]) == ("dead", 7)
    assert run["attempts"][0]["reason"] == "the script ended with 7"
    assert run["log_tail"] == [str(n) for n in range(89, 99)]


async def test_the_outputs_of_a_run_that_succeeded_are_told(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    [applied] = await control.apply([blur])
    await arrive(ledger, bus, event())
    await finish(ledger, *await begin(ledger, applied["uid"]))
    [seen] = (await why(control))["events"]
    assert seen["services"][0]["runs"][0]["outputs"] == ["pics/out/a.png"]


async def test_each_service_near_the_object_is_told_by_its_first_failed_condition_and_the_others_are_counted(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    folder = {"storage_provider": "local", "path": "pics/in"}
    far = [{**blur, "name": f"far{n}", "input": [{**folder, "path": f"other{n}/in"}], "output": []} for n in range(12)]
    jpegs = {**blur, "name": "jpegs", "input": [{**folder, "suffix": [".jpg"]}]}
    large = {**blur, "name": "large", "dispatch": {"filters": {"size": {"min": 1000}}}}
    below = {**blur, "name": "below", "input": [{**folder, "path": "pics/in/sub"}]}
    await control.apply([blur, jpegs, large, below, *far])
    await arrive(ledger, bus, event())
    [seen] = (await why(control))["events"]
    told = verdicts(seen)
    assert told.pop("blur") == ("started", "")
    assert {verdict for verdict, _ in told.values()} == {"not started"}
    assert next(iter(verdicts(seen))) == "blur"  # what started something stands first
    assert ".jpg" in told["jpegs"][1]
    assert "1000" in told["large"][1]
    assert "in/sub" in told["below"][1]
    assert told.keys() == {"jpegs", "large", "below"}
    assert seen["elsewhere"] == 12


async def test_a_service_applied_after_the_event_says_so_and_one_updated_since_too(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    jpegs = {**blur, "name": "jpegs", "input": [{**blur["input"][0], "suffix": [".jpg"]}]}
    await control.apply([jpegs])
    early = datetime.now(UTC) - timedelta(hours=1)
    await arrive(ledger, bus, event(recorded=early, time=early))
    await ledger.write(lambda c: c.execute(update(tables.services).values(created_at=int(early.timestamp() * 1e3) - 1)))
    await control.apply([blur, {**jpegs, "input": blur["input"]}])
    [seen] = (await why(control))["events"]
    told = verdicts(seen)
    assert told["blur"][1].startswith("the service was applied after the event")
    assert told["blur"][1].endswith(f"oscar-events replay --from {codec.iso(early)} --service blur")
    assert told["jpegs"][1].startswith("it fits now, by revision 2")
    assert told["jpegs"][1].endswith("--service jpegs")


async def test_an_event_that_intake_has_not_read_waits(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    await control.apply([blur])
    await arrive(ledger, bus, event(), is_read=False)
    [seen] = (await why(control))["events"]
    assert verdicts(seen) == {"blur": ("waiting", "the event lies in the log and no platform runs that would read it")}
    await arrive(ledger, bus, event())
    assert verdicts((await why(control))["events"][0])["blur"] == ("started", "")


async def test_an_event_for_one_service_only_says_so(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    [applied, _] = await control.apply([blur, {**blur, "name": "other"}])
    await arrive(ledger, bus, event(service="blur", adapter="minio"), event("in/b.png", service_uids=(applied["uid"],)))
    [by_route] = (await why(control))["events"]
    assert verdicts(by_route)["other"] == ("not started", "the source minio is for service blur only")
    [listed] = (await why(control, "in/b.png"))["events"]
    assert verdicts(listed)["other"][1].startswith("the event was brought again")


async def test_removals_are_told_with_what_the_service_wants(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    await control.apply([blur])
    await arrive(ledger, bus, event(action=Action.REMOVED))
    [seen] = (await why(control))["events"]
    assert seen["action"] == "removed"
    assert "removed" in verdicts(seen)["blur"][1]


async def test_one_event_told_by_two_sources_is_one_event_seen_twice(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    await control.apply([blur])
    await arrive(ledger, bus, event(adapter="minio", id="one"), event(adapter="kafka", id="one"))
    [seen] = (await why(control))["events"]
    assert [one["source"] for one in seen["seen"]] == ["minio", "kafka"]


async def test_an_older_time_of_the_same_file_is_known_as_the_same_version(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    await control.apply([blur])
    await arrive(ledger, bus, event(id="new", file_id="7", modified_ns=2_000))
    await arrive(ledger, bus, event(id="old", file_id="7", modified_ns=1_000))
    by_id = {one["id"]: verdicts(one)["blur"] for one in (await why(control))["events"]}
    assert by_id["new"] == ("started", "")
    assert "set its time back" in by_id["old"][1]


async def test_events_of_every_provider_are_found_and_provider_picks_one(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    await control.apply([blur])
    from_minio = event(id="m", provider="minio.default", source=object_source("minio.default", "pics"), adapter="minio")
    await arrive(ledger, bus, event(id="f"), from_minio)
    assert {one["id"] for one in (await why(control))["events"]} == {"f", "m"}
    assert [one["id"] for one in (await why(control, provider="local.default"))["events"]] == ["f"]


async def test_a_message_is_asked_for_by_its_source_and_its_id(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    await control.apply([blur])
    message = event(
        "id-1", bucket="api", kind="message", source=message_source("api"), action=Action.RECEIVED, service="blur"
    )
    await arrive(ledger, bus, message)
    answer = await control.journal.why("api", b"id-1", since=YESTERDAY)
    [seen] = answer["events"]
    assert verdicts(seen) == {"blur": ("started", "")}
    assert answer["object"] is None  # no file is looked for


async def test_a_run_is_found_when_the_log_holds_its_event_no_more_and_the_answer_says_how_far_the_log_reaches(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    await control.apply([blur])
    await arrive(ledger, bus, event())
    later = datetime.now(UTC) + timedelta(days=8)
    await bus.expire(int(later.timestamp() * 1000))
    answer = await why(control)
    assert verdicts(answer["events"][0]) == {"blur": ("started", "")}
    assert answer["log"] == "all it held is gone"
    kept = codec.encode(event("in/b.png"))
    await bus.publish(EVENTS, [Record(kept.key, kept.value, int(later.timestamp() * 1000))] * 8)
    assert (await why(control))["log"].startswith("it begins at ")
    assert (await why(control, since=later + timedelta(days=1)))["log"] == ""


async def test_runs_of_a_service_that_was_deleted_are_still_told(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    await control.apply([blur])
    await arrive(ledger, bus, event())
    await control.delete_service("blur")
    [seen] = (await why(control))["events"]
    assert verdicts(seen) == {"blur": ("started", "the service was deleted since")}
    assert seen["services"][0]["runs"][0]["state"] == "cancelled"


async def test_a_run_sent_again_stands_beside_the_first(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    [applied] = await control.apply([blur])
    await arrive(ledger, bus, event())
    await finish(ledger, *await begin(ledger, applied["uid"]), exit_code=1)
    [first] = await control.deadletters.page()
    await control.deadletters.redrive([first["id"]])
    [seen] = (await why(control))["events"]
    assert {run["redrive_of"] for run in seen["services"][0]["runs"]} == {None, first["id"]}


async def test_more_events_than_asked_for_are_counted(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    await control.apply([blur])
    started = datetime.now(UTC)
    told = [event(id=f"e{n}", recorded=started + timedelta(seconds=n)) for n in range(5)]
    await arrive(ledger, bus, *told)
    answer = await why(control, limit=2)
    assert [one["id"] for one in answer["events"]] == ["e4", "e3"]
    assert answer["more_events"] == 3


def advice(answer: Mapping[str, Any]) -> str:
    return "\n".join(answer["advice"])


async def test_of_a_file_that_is_not_there_names_alike_are_told(
    control: Control, directory: DataDirectory, blur: Document
) -> None:
    await control.apply([blur])
    (directory.buckets / "pics/in/b.png").touch()
    answer = await why(control)
    assert answer["events"] == []
    assert "there is no file" in advice(answer)
    assert "similar: b.png" in advice(answer)
    assert [(one["service"], one["takes_it"]) for one in answer["services"]] == [("blur", True)]


async def test_of_a_file_that_is_not_there_names_alike_are_told_also_where_its_bucket_is_watched_elsewhere(
    ledger: Ledger, bus: MemoryBus, directory: DataDirectory, blur: Document
) -> None:
    store = {"endpoint": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b"}
    config = PlatformConfig(storage_providers={"minio": {"default": store}})
    control = laptop_control(ledger, bus, directory, config)
    await control.apply([{**blur, "input": [{"storage_provider": "minio", "path": "pics/in"}], "output": []}])
    answer = await why(control)
    assert answer["provider"] == "minio.default"
    assert "there is no file" not in advice(answer)  # nor a bucket
    (directory.buckets / "pics/in").mkdir(parents=True)
    (directory.buckets / "pics/in/b.png").touch()
    answer = await why(control)
    assert answer["advice"][0].startswith("no source in config.yaml speaks for minio.default")
    assert "similar: b.png" in answer["advice"][1]
    assert answer["object"] is None
    assert "similar" not in advice(await why(control, provider="minio.default"))


async def test_of_an_object_whose_size_is_not_known_it_is_told_which_sizes_would_be_taken(
    control: Control, blur: Document
) -> None:
    small = {"filters": {"size": {"min": 1024, "max": "20Mi"}}}
    await control.apply([{**blur, "dispatch": {"filters": {"size": {"max": "20Mi"}}}}])
    await control.apply([{**blur, "name": "both", "dispatch": small}, {**blur, "name": "every"}])
    await control.apply([{**blur, "name": "jpegs", "dispatch": {"filters": {**small["filters"], "suffix": ".jpg"}}}])
    answer = await why(control)
    told = {one["service"]: (one["takes_it"], one["reason"]) for one in answer["services"]}
    assert told["blur"] == (True, "if its size is at most 20Mi")
    assert told["both"] == (True, "if its size is at least 1Ki and at most 20Mi")
    assert told["every"] == (True, "")
    assert told["jpegs"][0] is False
    assert ".jpg" in told["jpegs"][1]
    assert "no service takes it" not in advice(answer)


async def test_a_file_that_was_there_before_its_service_is_known_to_be_left_alone(
    control: Control, directory: DataDirectory, ledger: Ledger, blur: Document
) -> None:
    await control.apply([blur])
    (directory.buckets / "pics/in/a.png").write_bytes(b"abc")
    in_an_hour = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)
    await ledger.write(lambda connection: connection.execute(update(tables.inputs).values(since_at=in_an_hour)))
    await control.apply([{**blur, "image": "alpine"}])  # the services are read again
    answer = await why(control)
    assert "it was there before the input of service blur was applied" in advice(answer)
    assert answer["object"]["size"] == 3


async def test_a_file_that_is_being_written_and_one_that_is_hidden_are_known(
    control: Control, directory: DataDirectory, blur: Document
) -> None:
    await control.apply([blur])
    with (directory.buckets / "pics/in/a.png").open("wb"):
        assert "open for writing" in advice(await why(control))
    assert "open for writing" not in advice(await why(control))
    (directory.buckets / "pics/in/.a.png").touch()
    assert "begins with a dot" in advice(await why(control, "in/.a.png"))


@pytest.mark.parametrize(("make", "said"), [(os.mkdir, "is a directory"), (os.mkfifo, "only those are taken")])
async def test_what_is_no_file_is_known(
    control: Control, directory: DataDirectory, blur: Document, make: Any, said: str
) -> None:
    await control.apply([blur])
    make(directory.buckets / "pics/in/a.png")
    assert said in advice(await why(control))


async def test_a_symbolic_link_is_not_followed_on_the_way_either(
    control: Control, directory: DataDirectory, blur: Document, tmp_path: Path
) -> None:
    await control.apply([blur])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.png").touch()
    (directory.buckets / "pics/in/link").symlink_to(tmp_path / "elsewhere")
    answer = await why(control, "in/link/a.png")
    assert answer["object"]["kind"] == "link"
    assert "not followed" in advice(answer)


@pytest.mark.parametrize("key", ["../../../../etc/passwd", "in//a.png", "/etc/passwd", "in/../../x"])
async def test_no_key_leads_out_of_the_buckets(control: Control, blur: Document, key: str) -> None:
    await control.apply([blur])
    answer = await why(control, key)
    assert answer["object"]["kind"] == "missing"
    assert answer["object"]["size"] is None


async def test_of_a_remote_object_the_sources_that_speak_for_its_store_are_named(
    control: Control, ledger: Ledger, bus: MemoryBus, directory: DataDirectory
) -> None:
    answer = await why(control, provider="minio.lab")
    assert answer["object"] is None
    assert "no source in config.yaml speaks for minio.lab" in advice(answer)
    directory.config.write_text("sources: {lab: {provider: minio.lab, tokens: [0123456789abcdef]}}\n")
    directory.config.chmod(0o600)
    configured = laptop_control(ledger, bus, directory, PlatformConfig())
    assert "tells the source lab of it" in advice(await why(configured, provider="minio.lab"))
    message = await configured.journal.why("lab", b"id-1", since=YESTERDAY)
    assert message["advice"][0] == "lab is a source: no message with the id id-1 came by it"


async def test_a_broken_configuration_costs_the_answer_its_sources_only(
    control: Control, ledger: Ledger, bus: MemoryBus, directory: DataDirectory, blur: Document
) -> None:
    await control.apply([blur])
    await arrive(ledger, bus, event())
    directory.config.write_text("sources: {lab: {}}\n")
    answer = await why(control)
    assert "config.yaml" in answer["problem"]
    assert verdicts(answer["events"][0]) == {"blur": ("started", "")}


async def test_quarantined_messages_that_mention_the_key_are_told_until_they_are_settled(
    control: Control, bus: MemoryBus, ledger: Ledger
) -> None:
    now = datetime.now(UTC)
    mentioning = quarantine_record(b'{"Key":"pics/in%2Fa.png"}', "minio", "not_json", now)
    other = quarantine_record(b"something else", "minio", "not_json", now)
    [(partition, offset), _] = await bus.publish(QUARANTINE, [mentioning, other])
    assert (await why(control))["quarantined"] == [f"{partition.number}-{offset}"]
    row = {
        "topic_id": await bus.topic_id(QUARANTINE),
        "partition": partition.number,
        "offset": offset,
        "how": "purged",
        "settled_at": 0,
    }
    await ledger.write(lambda connection: connection.execute(insert(tables.quarantine_settled).values(row)))
    assert (await why(control))["quarantined"] == []


async def test_of_a_large_quarantine_it_is_told_how_much_was_not_searched(
    control: Control, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_MAX_QUARANTINED", 2 * len(await bus.partitions(QUARANTINE)))
    now = datetime.now(UTC)
    places = await bus.publish(QUARANTINE, [quarantine_record(b"in/a.png", "minio", "not_json", now)] * 5)
    in_partition = Counter(partition for partition, _ in places)
    answer = await why(control)
    assert len(answer["quarantined"]) == sum(min(count, 2) for count in in_partition.values())
    assert answer["quarantine_unsearched"] == sum(max(count - 2, 0) for count in in_partition.values()) > 0
    assert (await why(control, since=now + timedelta(hours=1)))["quarantine_unsearched"] == 0


async def test_the_newest_events_are_listed_oldest_first_with_what_they_started(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    await control.apply([blur])
    started = datetime.now(UTC)
    told = [event(f"in/{n}.png", id=f"e{n}", recorded=started + timedelta(seconds=n)) for n in range(200)]
    told[199] = dataclasses.replace(told[199], key=b"elsewhere/a.png")
    await arrive(ledger, bus, *told)
    await arrive(ledger, bus, event("in/late.png", recorded=started + timedelta(hours=1)), is_read=False)
    page = await control.journal.events(limit=150)
    assert [row["id"] for row in page["events"]] == [*(f"e{n}" for n in range(51, 200)), "folder-in/late.png"]
    assert [run["service"] for run in page["events"][0]["runs"]] == ["blur"]
    assert (page["events"][-2]["runs"], page["events"][-2]["is_waiting"]) == ([], False)
    assert page["events"][-1]["is_waiting"]


async def test_events_are_filtered_by_bucket_source_and_time(control: Control, ledger: Ledger, bus: MemoryBus) -> None:
    now = datetime.now(UTC)
    await arrive(
        ledger,
        bus,
        event(id="old", recorded=now - timedelta(hours=2)),
        event(id="other bucket", bucket="docs"),
        event(id="other source", adapter="minio"),
        event(id="this"),
    )
    asked = control.journal
    assert {row["id"] for row in (await asked.events(limit=9, bucket="docs"))["events"]} == {"other bucket"}
    assert {row["id"] for row in (await asked.events(limit=9, source="minio"))["events"]} == {"other source"}
    recent = await asked.events(limit=9, since=now - timedelta(hours=1), bucket="pics", source="folder")
    assert [row["id"] for row in recent["events"]] == ["this"]


async def test_a_filter_is_not_looked_for_without_end_and_the_answer_says_so(
    control: Control, ledger: Ledger, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await arrive(ledger, bus, event(id="rare", bucket="docs"), *(event(id=f"e{n}") for n in range(10)))
    assert not (await control.journal.events(limit=5, bucket="docs"))["is_cut"]
    monkeypatch.setattr(event_log, "MAX_LOOKED_AT", 5)
    page = await control.journal.events(limit=5, bucket="docs")
    assert (page["events"], page["is_cut"]) == ([], True)
    assert not (await control.journal.events(limit=5))["is_cut"]


async def test_following_gives_each_later_event_once(control: Control, ledger: Ledger, bus: MemoryBus) -> None:
    await arrive(ledger, bus, event(id="before"))
    page = await control.journal.events(limit=10)
    seen: list[str] = []
    for n in range(3):
        await arrive(ledger, bus, *(event(f"in/{n}-{i}.png", id=f"{n}-{i}") for i in range(4)))
        page = await control.journal.events(limit=10, after=page["next"])
        seen += [row["id"] for row in page["events"]]
    assert (await control.journal.events(limit=10, after=page["next"]))["events"] == []
    assert sorted(seen) == sorted(f"{n}-{i}" for n in range(3) for i in range(4))


async def test_whoever_follows_slower_than_retention_goes_on_with_what_there_is(
    control: Control, ledger: Ledger, bus: MemoryBus
) -> None:
    page = await control.journal.events(limit=10)
    await arrive(ledger, bus, event(id="gone"))
    later = datetime.now(UTC) + timedelta(days=8)
    await bus.expire(int(later.timestamp() * 1000))
    await arrive(ledger, bus, event(id="kept"))
    seen: list[str] = []
    for _ in range(2):
        page = await control.journal.events(limit=10, after=page["next"])
        seen += [row["id"] for row in page["events"]]
    assert seen == ["kept"]


async def test_a_place_that_is_none_and_bytes_that_are_no_event_are_told(control: Control, bus: MemoryBus) -> None:
    with pytest.raises(ConfigurationError, match="no place in the log"):
        await control.journal.events(limit=1, after="here")
    await bus.publish(EVENTS, [Record(b"k", b"{", 1)])
    [row] = (await control.journal.events(limit=1))["events"]
    assert "not an oscar-events envelope" in row["unreadable"]


async def test_a_pending_run_waits_for_a_platform_first_of_all(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    await control.apply([blur])
    await arrive(ledger, bus, event("in/a.png"))
    [run] = await control.runs()
    waits = (await control.run(run["id"]))["waits"]
    assert waits["reason"].startswith("no platform runs on this directory")
    assert (await why(control))["events"][0]["services"][0]["runs"][0]["waits"] == waits


async def test_a_pending_run_says_what_it_waits_for(
    ledger: Ledger, bus: MemoryBus, directory: DataDirectory, blur: Document
) -> None:
    control = laptop_control(ledger, bus, directory, PlatformConfig(), is_running=True)
    [applied] = await control.apply([{**blur, "dispatch": {"concurrency": 1, "retry": {"max_attempts": 2}}}])
    await arrive(ledger, bus, event("in/a.png"))
    [first] = await control.runs()
    assert (await control.run(first["id"]))["waits"]["reason"] == "it is about to start"
    begun = await begin(ledger, applied["uid"])
    assert (await control.run(first["id"]))["waits"] is None
    await arrive(ledger, bus, event("in/b.png"))
    [second] = await control.runs(state="pending")
    waits = (await control.run(second["id"]))["waits"]
    assert waits["reason"] == "its service has 1 running, and dispatch.concurrency is 1"
    assert (await why(control, "in/b.png"))["events"][0]["services"][0]["runs"][0]["waits"] == waits
    await finish_for_another_try(ledger, begun)
    waits = (await control.run(first["id"]))["waits"]
    assert waits["reason"] == "attempt 1 failed: the script ended with 1"
    assert datetime.fromisoformat(waits["until"]) > datetime.now(UTC)


async def finish_for_another_try(ledger: Ledger, begun: Any) -> None:
    epoch, leased = begun
    report = Report(
        execution=leased.execution,
        attempt=1,
        nonce=leased.nonce,
        outcome=Outcome.FAILED,
        failure=FailureClass.USER,
        reason="the script ended with 1",
        exit_code=1,
    )
    ended = ends.AttemptEnd(leased.execution, 1, leased.nonce, report, "", b"")

    def unit(connection: Connection) -> None:
        ends.end(connection, epoch, ended, RetrySettings(max_attempts=2), 0.5)

    await ledger.write(unit)


async def test_of_a_result_the_run_that_wrote_it_is_told(
    control: Control, ledger: Ledger, bus: MemoryBus, blur: Document
) -> None:
    [applied] = await control.apply([blur])
    await arrive(ledger, bus, event())
    await finish(ledger, *await begin(ledger, applied["uid"]))
    [run] = await control.runs()
    result = (await why(control, "out/a.png"))["result_of"]
    assert (result["id"], result["service"]) == (run["id"], "blur")
    for other in ("out/a.pn_", "out/b.png", "a.png"):
        assert (await why(control, other))["result_of"] is None
    assert (await why(control))["result_of"] is None, "it is an input"
