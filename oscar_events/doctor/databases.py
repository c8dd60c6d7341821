"""Checks of ledger.db and log.db: their versions, whether they are whole, and what in them waits for somebody.

In:  the files, read only; a platform may be writing them. Out: findings.
Not here: the services (storage.py).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Select, func, select

from oscar_events.bus.port import QUARANTINE
from oscar_events.bus.sqlite import SCHEMA_VERSION, LogFacts
from oscar_events.doctor.finding import Finding, error, ok, warning
from oscar_events.ledger.schema import Age, age
from oscar_events.ledger.tables import (
    executions,
    gaps,
    is_dead_letter,
    quarantine_settled,
    replays,
)

# A person waits for the answer; a database of some gigabytes takes longer than this.
INTEGRITY_SECONDS = 10.0
_INSTRUCTIONS = 100_000  # of SQLite's machine between two looks at the clock: some milliseconds
_NEWER = "install the newer oscar-events, or name another data directory"
_RESTORE = "stop the platform, keep the file, and restore a backup; the sqlite3 command's .recover may save more"


def log_version(facts: LogFacts) -> Iterator[Finding]:
    """Check that this version can read the log."""
    if facts.version > SCHEMA_VERSION:
        what = f"log.db was written by a newer version (schema {facts.version}; this one knows {SCHEMA_VERSION})"
        yield error("log", what, _NEWER)
    elif facts.version < SCHEMA_VERSION:
        yield ok("log", f"log.db has schema {facts.version}; the next start brings it to {SCHEMA_VERSION}")
    else:
        yield ok("log", f"log.db holds {sum(facts.records.values())} records")


def ledger_version(connection: Connection) -> Iterator[Finding]:
    """Check that this version can read the ledger."""
    found = age(connection)
    if found is Age.NEWER:
        yield error("ledger", "ledger.db was written by a newer version", _NEWER)
    elif found is Age.OLDER:
        yield ok("ledger", "ledger.db is of an older version; the next start brings it up to date")
    else:
        yield ok("ledger", "ledger.db is of this version")


def integrity(path: Path, seconds: float = INTEGRITY_SECONDS) -> Iterator[Finding]:
    """Check that a database is whole, for so long at most."""
    stop = time.monotonic() + seconds
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > stop, _INSTRUCTIONS)
            ((answer,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as broken:
        if getattr(broken, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            yield ok("integrity", f"{path.name} is too large to be read within {seconds:.0f} s; what was read is whole")
        else:
            yield error("integrity", f"{path}: {broken}", _RESTORE)
        return
    if answer == "ok":
        yield ok("integrity", f"{path.name} is whole")
    else:
        yield error("integrity", f"{path}: {answer}", _RESTORE)


def dead_letters(connection: Connection) -> Iterator[Finding]:
    """Count the runs that were given up on and neither sent again nor purged."""
    successor = executions.alias("successor")
    is_sent = select(successor.c.id).where(successor.c.redrive_of == executions.c.id).exists()
    count = _count(connection, select(func.count()).select_from(executions).where(is_dead_letter, ~is_sent))
    if count:
        fix = "see why, then send them again or give them up: oscar-events deadletters list"
        yield warning("dead letters", f"runs that were given up on: {count}", fix)
    else:
        yield ok("dead letters", "none")


def quarantine(connection: Connection, facts: LogFacts) -> Iterator[Finding]:
    """Count the messages in quarantine that nobody settled."""
    query = select(func.count()).where(quarantine_settled.c.topic_id == facts.topics.get(QUARANTINE, ""))
    yield in_quarantine(max(facts.records.get(QUARANTINE, 0) - _count(connection, query), 0))


def in_quarantine(count: int) -> Finding:
    """Say how many messages are in quarantine that nobody settled."""
    if count:
        fix = "see why, then send them again or purge them: oscar-events quarantine list"
        return warning("quarantine", f"messages that came in and are no usable events: {count}", fix)
    return ok("quarantine", "none")


def unfinished_replays(connection: Connection, *, is_running: bool) -> Iterator[Finding]:
    """Check for replays that wait for somebody to go on with them."""
    count = _count(connection, select(func.count()).select_from(replays).where(replays.c.ended_at.is_(None)))
    if count and not is_running:
        fix = "start the platform, which goes on with them, or: oscar-events replay resume"
        yield warning("replays", f"not finished: {count}", fix)
    else:
        yield ok("replays", f"{count} under way" if count else "none unfinished")


def lost_events(connection: Connection) -> Iterator[Finding]:
    """Check whether the log once held less than intake had still to read."""
    newest = connection.scalar(select(func.max(gaps.c.found_at)))
    count = _count(connection, select(func.coalesce(func.sum(gaps.c.first_offset - gaps.c.wanted_offset), 0)))
    if newest is None:
        yield ok("gaps", "every event of the log was read")
        return
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(newest / 1000))
    what = f"{count} events had left the log before they were read, the last at {when}"
    yield warning("gaps", what, "folders are listed anyway; of other stores put the objects of that time again")


def _count(connection: Connection, query: Select[tuple[int]] | Select[int]) -> int:
    return connection.scalar(query) or 0
