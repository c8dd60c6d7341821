"""The whole examination: every check that makes sense here, in the order in which things are mended.

In:  a data directory; what its running platform says of itself, if one runs. Out: findings.
Not here: the checks (the modules beside this), what a cluster has instead of files (cluster.py), asking the front and
printing (cli/doctor.py).

What cannot be looked at because something before it is broken is left out: that is mended first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from oscar_events.bus.sqlite import log_facts
from oscar_events.config import PlatformConfig, load_config
from oscar_events.datadir import DataDirectory
from oscar_events.doctor import databases, directory, machine, storage
from oscar_events.doctor.cluster import examine_cluster
from oscar_events.doctor.finding import Finding, Level, error, ok, warning
from oscar_events.doctor.notified import notified
from oscar_events.errors import OscarEventsError
from oscar_events.ledger import services
from oscar_events.ledger.schema import Age, age
from oscar_events.ledger.services import StoredService
from oscar_events.ledger.sqlite import looked_into
from oscar_events.manager.laptop import laptop_aliases
from oscar_events.secrets import SecretStore

# Of /readyz' troubles, those that do not go while the platform runs.
_MENDING = {"storage_providers": "restart the platform, or put config.yaml back as it was"}


@dataclass(frozen=True, slots=True)
class FrontAnswer:
    """What /readyz said. problem: why there was no answer, empty if there was one."""

    problem: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)


async def examine(place: DataDirectory, front: FrontAnswer | None) -> list[Finding]:
    """Return all findings. front: None if nobody holds the directory."""
    config = _config(place)
    if config.settings.is_cluster:
        return await examine_cluster(place, config)
    found = list(chain(machine.python(), machine.sqlite_library(), machine.shell()))
    misread = [one for one in directory.configuration(place) if one.level is Level.ERROR]
    if misread and not place.exists():
        # It may be a cluster's, which holds config.yaml and no more: before that is read nobody knows what it lacks.
        return found + misread
    usable = list(directory.usable(place))
    found += usable
    if any(one.level is Level.ERROR for one in usable):
        return found
    found += chain(directory.free_disk(place), directory.clock(place), directory.secret_files(place))
    found += chain(directory.configuration(place), machine.inotify(place.buckets))
    found += running(front) if front is not None else chain(stopped(), directory.left_over(place))
    stored, of_databases = _databases(place, is_running=front is not None)
    found += of_databases
    aliases = laptop_aliases(config)
    found += chain(storage.folders(stored, place.buckets, aliases), storage.backends(stored))
    found += chain(storage.tenants(config), storage.undefined(stored, config, aliases))
    found += storage.told_of(stored, config, aliases)
    found += await storage.stores(stored, config, aliases, SecretStore(place.secrets))
    found += await notified(stored, config, aliases)
    return found


def running(front: FrontAnswer) -> Iterator[Finding]:
    """Say what a running platform says of itself."""
    if front.problem:
        yield error("platform", front.problem, "see its log; stop it, kill it if it does not, and start it again")
        return
    for part, reason in front.reasons.items():
        yield error("platform", f"{part} is not ready: {reason}", "see its log; it goes on by itself once that is over")
    for part, trouble in front.troubles.items():
        yield warning("platform", f"{part}: {trouble}", _MENDING.get(part, "mend it; a restart is not needed"))
    if not front.reasons:
        yield ok("platform", "runs, and is ready")


def stopped() -> Iterator[Finding]:
    """Say that nothing runs: no error, people stop platforms."""
    yield ok("platform", "none runs on this directory")


def _databases(place: DataDirectory, *, is_running: bool) -> tuple[Sequence[StoredService], list[Finding]]:
    """Return the active services as far as they can be read, and what is found."""
    if not place.ledger_db.exists() or not place.log_db.exists():
        return (), [ok("ledger", "no platform has run here yet")]
    found = [*databases.integrity(place.ledger_db), *databases.integrity(place.log_db)]
    if any(one.level is Level.ERROR for one in found):
        return (), found
    try:
        log = log_facts(place.log_db)
        found += databases.log_version(log)
        with looked_into(place.ledger_db) as connection:
            found += databases.ledger_version(connection)
            if age(connection) is not Age.PRESENT:
                return (), found
            found += chain(databases.dead_letters(connection), databases.quarantine(connection, log))
            found += databases.unfinished_replays(connection, is_running=is_running)
            found += databases.lost_events(connection)
            return services.active(connection), found
    except OscarEventsError as unreadable:
        return (), [*found, error("ledger", str(unreadable), "mend what it says, then ask again")]


def _config(place: DataDirectory) -> PlatformConfig:
    try:
        return load_config(place)
    except (OscarEventsError, OSError):  # told by its own check
        return PlatformConfig()
