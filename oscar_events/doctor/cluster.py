"""The examination of a cluster: database, topics, components, stores.

In:  the data directory of whoever asks, the configuration in force. Out: findings.
Not here: a laptop's examination (examination.py), the checks both share (the modules beside this).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from sqlalchemy import Connection, select

from oscar_events.config import PlatformConfig
from oscar_events.datadir import DataDirectory
from oscar_events.doctor import databases, directory, machine, storage
from oscar_events.doctor.finding import Finding, Level, error, ok, warning
from oscar_events.doctor.notified import notified
from oscar_events.errors import OscarEventsError, UnavailableError
from oscar_events.ledger import services
from oscar_events.ledger.port import now
from oscar_events.ledger.services import StoredService
from oscar_events.ledger.tables import roles
from oscar_events.manager.cluster import clients_installed, cluster_bus, cluster_ledger, required
from oscar_events.manager.gauges import quarantined
from oscar_events.secrets import SecretStore
from oscar_events.settings import KafkaSettings, LedgerSettings

# Whose work stops without anybody who does it, and which component that is.
_COMPONENTS = {"scheduler": "dispatcher", "reconciler": "ingest"}
_AWAY = "start it, or mend the setting; components wait for it"
_WRONG = "mend what it says; components refuse to start until then"


async def examine_cluster(place: DataDirectory, config: PlatformConfig) -> list[Finding]:
    """Return all findings. What cannot be looked at because something before it is broken is left out."""
    kafka, database = required(config)
    found = list(
        chain(machine.python(), machine.shell(), directory.secret_files(place), directory.configuration(place))
    )
    stored, of_database = await _database(database)
    found += [*of_database, *await _topics(kafka)]
    if not any(one.level is Level.ERROR and one.check in ("ledger", "topics") for one in found):
        found += await _quarantine(kafka, database)
    found += chain(storage.backends(stored), storage.tenants(config), storage.undefined(stored, config, {}))
    found += storage.told_of(stored, config, {})
    found += await storage.stores(stored, config, {}, SecretStore(place.secrets))
    found += await notified(stored, config, {})
    return found


async def _database(settings: LedgerSettings) -> tuple[Sequence[StoredService], list[Finding]]:
    """Return the active services as far as they can be read, and what is found."""
    try:
        with clients_installed():
            from oscar_events.ledger.postgresql import look
        state = await look(settings)
        if state.unfit:
            return (), [error("ledger", *_cause_and_remedy(reason)) for reason in state.unfit]
        found = [ok("ledger", f"PostgreSQL {state.server}, migration {state.migration}")]
        async with cluster_ledger(settings) as ledger:
            found += await ledger.read(_in_ledger)
            return await ledger.read(services.active), found
    except OscarEventsError as broken:
        return (), [_broken("ledger", broken)]


def _in_ledger(connection: Connection) -> list[Finding]:
    return [
        *_components(connection),
        *databases.dead_letters(connection),
        *databases.unfinished_replays(connection, is_running=True),
        *databases.lost_events(connection),
    ]


def _components(connection: Connection) -> Iterator[Finding]:
    """Check that somebody holds each role: without one, nothing is started, or nothing listed."""
    time = now(connection)
    held = {row.name: row for row in connection.execute(select(roles))}
    for role, component in _COMPONENTS.items():
        row = held.get(role)
        if row is not None and row.expires_at > time:
            yield ok("components", f"{role}: {row.holder}")
        else:
            yield warning("components", f"nobody is {role} at the moment", f"start one: oscar-events {component}")


async def _topics(kafka: KafkaSettings) -> list[Finding]:
    try:
        with clients_installed():
            from oscar_events.bus.kafka_topics import check_topics
        reports = await check_topics(kafka)
    except OscarEventsError as broken:
        return [_broken("topics", broken)]
    found = []
    for report in reports:
        name = report.wanted.name
        if report.found is None:
            found.append(error("topics", f"{name} is missing", "oscar-events topics create"))
        for one in report.problems:
            what = f"{name}: {one.setting} is {one.found}, it should be {one.wanted}"
            found.append((error if one.is_unsafe else warning)("topics", what, one.fix))
    return found or [ok("topics", f"{len(reports)} topics are there and safe")]


async def _quarantine(kafka: KafkaSettings, database: LedgerSettings) -> list[Finding]:
    try:
        async with cluster_ledger(database) as ledger, cluster_bus(kafka) as bus:
            records, _ = await quarantined(ledger, bus)
    except OscarEventsError as broken:
        return [_broken("quarantine", broken)]
    return [databases.in_quarantine(records)]


def _cause_and_remedy(reason: str) -> tuple[str, str]:
    """Return the two halves of a reason of postgresql_state.look: each names its remedy after the first semicolon."""
    cause, _, remedy = reason.partition("; ")
    return cause, remedy or _WRONG


def _broken(check: str, broken: OscarEventsError) -> Finding:
    return error(check, str(broken), _AWAY if isinstance(broken, UnavailableError) else _WRONG)
