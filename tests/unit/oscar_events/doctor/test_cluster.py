"""The doctor of a cluster: what waits for somebody, who is missing, what cannot be asked, each with its remedy.

Broker and database are doubles; the real ones are asked in tests/acceptance/test_cluster_bad_input.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection

from oscar_events.bus import kafka_topics
from oscar_events.bus.kafka_topic_rules import Problem
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import QUARANTINE
from oscar_events.config import PlatformConfig
from oscar_events.datadir import DataDirectory
from oscar_events.doctor import cluster
from oscar_events.doctor.cluster import examine_cluster
from oscar_events.doctor.finding import Finding, Level
from oscar_events.errors import BusError, LedgerError, OscarEventsError
from oscar_events.ledger import postgresql, roles
from oscar_events.ledger.postgresql_state import UPGRADE
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.manager.cluster import cluster_control
from oscar_events.manager.laptop import laptop_control
from oscar_events.quarantine import quarantine_record
from oscar_events.settings import KafkaSettings, LedgerSettings, Settings
from tests.unit.oscar_events.manager.runs_in_ledger import begin, drop, finish

SETTINGS = Settings(
    kafka=KafkaSettings(bootstrap_servers="a:1"), ledger=LedgerSettings(url=SecretStr("postgresql://a/b"))
)


@dataclass
class Patient:
    """A cluster whose broker and database answer as the test says. reports: of its topics."""

    directory: DataDirectory
    bus: MemoryBus = field(default_factory=MemoryBus)
    unfit: tuple[str, ...] = ()
    reports: list[Any] = field(default_factory=list)
    database: OscarEventsError | None = None
    broker: OscarEventsError | None = None

    def ledger(self) -> SqliteLedger:
        return SqliteLedger(self.directory.ledger_db)

    async def look(self, settings: LedgerSettings) -> SimpleNamespace:
        if self.database is not None:
            raise self.database
        return SimpleNamespace(unfit=self.unfit, server="15.1", migration="0003")

    async def check_topics(self, settings: KafkaSettings) -> list[Any]:
        if self.broker is not None:
            raise self.broker
        return self.reports

    async def roles_held(self) -> None:
        def unit(connection: Connection) -> None:
            for role in ("scheduler", "reconciler"):
                assert roles.take(connection, role, "me", 60_000) is not None

        async with self.ledger() as ledger:
            await ledger.write(unit)

    async def told(self) -> list[Finding]:
        """Return what there is to mend."""
        found = await examine_cluster(self.directory, PlatformConfig(settings=SETTINGS))
        return [one for one in found if one.level is not Level.OK]


@pytest.fixture
async def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    directory = DataDirectory(tmp_path)
    found = Patient(directory)
    monkeypatch.setattr(cluster, "cluster_ledger", lambda settings: found.ledger())
    monkeypatch.setattr(cluster, "cluster_bus", lambda settings: found.bus)
    monkeypatch.setattr(postgresql, "look", found.look)
    monkeypatch.setattr(kafka_topics, "check_topics", found.check_topics)
    await found.roles_held()
    return found


def wrong(check: str, what: str, fix: str) -> Callable[[Finding], bool]:
    return lambda found: (found.check, what in found.what, fix in found.fix) == (check, True, True)


async def test_a_cluster_with_nothing_wrong_has_nothing_to_mend(patient: Patient) -> None:
    assert await patient.told() == []


async def test_what_lies_in_quarantine_is_counted_until_it_is_settled(patient: Patient) -> None:
    record = quarantine_record(b"x", "minio", "not_json", datetime.now(UTC))
    async with patient.bus as bus, patient.ledger() as ledger:
        await bus.publish(QUARANTINE, [record, record])
        control = cluster_control(ledger, bus, patient.directory, PlatformConfig(settings=SETTINGS))
        [first, _] = (await control.quarantine.page())["records"]
        await control.quarantine.purge([first["id"]])
    [told] = await patient.told()
    assert wrong("quarantine", "no usable events: 1", "oscar-events quarantine list")(told)


async def test_runs_that_were_given_up_on_are_counted(patient: Patient) -> None:
    place = {"storage_provider": "local", "path": "pics/in"}
    async with patient.ledger() as ledger, patient.bus as bus:
        control = laptop_control(ledger, bus, patient.directory, PlatformConfig())
        [applied] = await control.apply([{"name": "blur", "image": "x", "script": "false", "input": [place]}])
        await drop(ledger, "in/a")
        await finish(ledger, *await begin(ledger, applied["uid"]), exit_code=1)
    [told] = await patient.told()
    assert wrong("dead letters", "runs that were given up on: 1", "oscar-events deadletters list")(told)


async def test_a_role_that_nobody_holds_names_the_component_to_start(patient: Patient) -> None:
    async with patient.ledger() as ledger:
        await ledger.write(lambda c: roles.release(c, "reconciler", 1))
    [told] = await patient.told()
    assert wrong("components", "nobody is reconciler", "oscar-events ingest")(told)


async def test_topics_that_are_missing_or_unsafe_are_told_and_quarantine_is_not_asked_then(patient: Patient) -> None:
    problem = Problem("replication factor", "1", "3", "add brokers")
    advice = Problem("retention.ms", "1", "2", "alter it", is_unsafe=False)
    wanted = SimpleNamespace(name="oscar.events")
    patient.reports = [
        SimpleNamespace(wanted=wanted, found=None, problems=[]),
        SimpleNamespace(wanted=wanted, found=wanted, problems=[problem, advice]),
    ]
    missing, unsafe, advised = await patient.told()
    assert wrong("topics", "oscar.events is missing", "oscar-events topics create")(missing)
    assert wrong("topics", "replication factor is 1, it should be 3", "add brokers")(unsafe)
    assert (missing.level, unsafe.level, advised.level) == (Level.ERROR, Level.ERROR, Level.WARNING)


async def test_what_is_away_and_what_is_unfit_is_told_and_the_rest_examined(patient: Patient) -> None:
    patient.database, patient.broker = LedgerError("the database is away"), BusError("the broker is away")
    ledger, topics = await patient.told()
    assert wrong("ledger", "the database is away", "start it")(ledger)
    assert wrong("topics", "the broker is away", "start it")(topics)
    patient.database, patient.broker, patient.unfit = None, None, ("its tables are newer; install that",)
    [unfit] = await patient.told()
    assert wrong("ledger", "its tables are newer", "install that")(unfit)


async def test_a_database_that_is_not_fit_is_told_with_the_command_that_makes_it_so(patient: Patient) -> None:
    patient.unfit = (f"it has no ledger yet; {UPGRADE}",)
    [found] = [one for one in await patient.told() if one.check == "ledger"]
    assert (found.what, found.fix) == ("it has no ledger yet", "run `oscar-events ledger upgrade`")
