"""The tables of the ledger.

In:  nothing. Out: SQLAlchemy Core tables, the same for SQLite and PostgreSQL.
Not here: who may write what (the modules of units beside this one), how tables change over time (migrations/).

Times are whole milliseconds since 1970 UTC by the database's clock (`*_at`): one integer form for both databases, so
that comparing and indexing need no dialect. Documents are JSON text, bytes stay bytes.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
)

from oscar_events.execution import IN_FLIGHT, LIVE, State

metadata = MetaData()

# SQLite counts only INTEGER PRIMARY KEY up by itself; PostgreSQL's INTEGER would end at 2^31.
_Serial = BigInteger().with_variant(Integer, "sqlite")

# One row. generation: another number after every apply and delete; intake reads it in each claim transaction.
instance = Table(
    "instance",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", String, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# Who may schedule. epoch: raised by every change of holder; every write made in the role compares it (design §3.5).
roles = Table(
    "roles",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

services = Table(
    "services",
    metadata,
    Column("uid", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("name", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
)
# A name is free again once its service is deleted; the uid never is.
Index(
    "services_active",
    services.c.tenant,
    services.c.name,
    unique=True,
    sqlite_where=services.c.deleted_at.is_(None),
    postgresql_where=services.c.deleted_at.is_(None),
)

# remarks: what its author was told of the file it came from, as a JSON list; the document no longer shows it.
revisions = Table(
    "revisions",
    metadata,
    Column("service_uid", ForeignKey("services.uid"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("document", Text, nullable=False),
    Column("remarks", Text),
    Column("created_at", BigInteger, nullable=False),
)

# since: the reconciler looks at objects newer than this; kept while provider and path stay (design §3.9).
inputs = Table(
    "inputs",
    metadata,
    Column("service_uid", ForeignKey("services.uid"), primary_key=True),
    Column("provider", String, primary_key=True),
    Column("path", String, primary_key=True),
    Column("since_at", BigInteger, nullable=False),
)

# Each event that started something, once for each whom its route may start (`key`; event.py, key_in_ledger): a source
# that may start one service only puts no words into another's run. subject: the percent-encoded key. envelope: the
# record's value as it lay on the bus; PURGED once every run it started was purged. The row stays, as those of the runs
# do: a file whose time was set back is told of under another id, and only file and time say that this version has run
# (design §3.2).
PURGED = b""
events = Table(
    "events",
    metadata,
    Column("key", String, primary_key=True),
    Column("id", String, nullable=False),
    Column("tenant", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("bucket", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("size", BigInteger),
    Column("file_id", String),
    Column("modified_ns", BigInteger),
    Column("recorded_at", BigInteger, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("etag", String),
)
Index("events_id", events.c.id)
# Down to the time, so that a file written a thousand times is not looked through at every claim.
Index(
    "events_object",
    events.c.provider,
    events.c.bucket,
    events.c.subject,
    events.c.file_id,
    events.c.size,
    events.c.modified_ns,
)

# attempt: the number of the present attempt; it grows only with the move that records the end of the one before.
# revision: of the service, fixed with the first lease. input: which of the service's inputs matched; -1: none, the
# event's route named the service. redrive_of: the dead execution this one is sent again for. replay: the replay that
# made it, if that was to make new executions. purged_at: when somebody gave the dead letter up; its details are gone.
# event_key: the row of the event that it was claimed by; event_id: what people and the id are told. emptied_at: when
# retention made it a tombstone: a row that says only that this run was, so that its event is not taken for new.
executions = Table(
    "executions",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("service_uid", ForeignKey("services.uid"), nullable=False),
    Column("service", String, nullable=False),
    Column("event_id", String, nullable=False),
    Column("event_key", String, nullable=False),
    Column("bucket", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("input", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("revision", Integer),
    Column("cancel_requested", Boolean, nullable=False),
    Column("failure", String),
    Column("reason", Text, nullable=False),
    Column("exit_code", Integer),
    Column("outputs", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("first_submit_at", BigInteger),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("redrive_of", String),
    Column("replay", String),
    Column("purged_at", BigInteger),
    Column("emptied_at", BigInteger),
)
Index("executions_page", executions.c.created_at, executions.c.id)
Index("executions_event", executions.c.event_id)
Index("executions_of_event", executions.c.event_key)
_is_whole = executions.c.ended_at.is_not(None) & executions.c.emptied_at.is_(None)
Index("executions_whole", executions.c.ended_at, sqlite_where=_is_whole, postgresql_where=_is_whole)
_is_tombstone = executions.c.emptied_at.is_not(None)
Index("executions_tombstone", executions.c.ended_at, sqlite_where=_is_tombstone, postgresql_where=_is_tombstone)
Index("executions_object", executions.c.bucket, executions.c.subject, executions.c.created_at)
_is_redrive = executions.c.redrive_of.is_not(None)
Index("executions_redrive", executions.c.redrive_of, sqlite_where=_is_redrive, postgresql_where=_is_redrive)


def _in_one_of(states: frozenset[State]) -> ColumnElement[bool]:
    """Return the condition with its states written out: one with parameters makes no database use a partial index."""
    names = sorted(state.value for state in states)
    return executions.c.state.in_(bindparam("states", names, expanding=True, literal_execute=True, unique=True))


# For queries too: only with these very conditions the two indexes are used.
is_live = _in_one_of(LIVE)
is_in_flight = _in_one_of(IN_FLIGHT)
Index("executions_live", executions.c.service_uid, executions.c.id, sqlite_where=is_live, postgresql_where=is_live)
Index("executions_in_flight", executions.c.id, sqlite_where=is_in_flight, postgresql_where=is_in_flight)

# Dead letters: given up on, and neither purged; whether one was sent again is asked of executions_redrive.
is_dead_letter = _in_one_of(frozenset({State.DEAD})) & executions.c.purged_at.is_(None)
Index(
    "executions_dead",
    executions.c.created_at,
    executions.c.id,
    sqlite_where=is_dead_letter,
    postgresql_where=is_dead_letter,
)

# For lists of runs, newest first: of one service, and in one state. Of what succeeded there is enough to find some at
# once, of what is in flight so little that executions_in_flight serves: every run would pay for an entry of both.
Index("executions_service", executions.c.service, executions.c.created_at, executions.c.id)
is_listed_by_state = _in_one_of(frozenset(State) - IN_FLIGHT - {State.SUCCEEDED})
Index(
    "executions_state",
    executions.c.state,
    executions.c.created_at,
    executions.c.id,
    sqlite_where=is_listed_by_state,
    postgresql_where=is_listed_by_state,
)

# token: of the present lease; every update of a leased attempt compares it. host: where its processes are, for backends
# that run them on the dispatcher's own. log: head and tail of the script's output.
attempts = Table(
    "attempts",
    metadata,
    Column("execution_id", ForeignKey("executions.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("nonce", String, nullable=False),
    Column("token", String, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("spec_hash", String),
    Column("submitted_at", BigInteger),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("outcome", String),
    Column("failure", String),
    Column("reason", Text),
    Column("exit_code", Integer),
    Column("log", LargeBinary),
    Column("host", String),
)

# What waits: small, so that leasing is fast however many executions there are.
queue = Table(
    "queue",
    metadata,
    Column("execution_id", ForeignKey("executions.id"), primary_key=True),
    Column("service_uid", String, nullable=False),
    Column("tenant", String, nullable=False),
    Column("not_before_at", BigInteger, nullable=False),
)
Index("queue_next", queue.c.service_uid, queue.c.not_before_at, queue.c.execution_id)

# What others must be told: written with the move, deleted once the bus acknowledged (never skipped by a cursor).
outbox = Table(
    "outbox",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("topic", String, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# How far intake has claimed: stored with the claims, so that a restored ledger reads again what it forgot.
positions = Table(
    "positions",
    metadata,
    Column("topic_id", String, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)

# What the log no longer had when intake asked for it: recorded and alarmed, never a silent reset.
gaps = Table(
    "gaps",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("topic_id", String, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("wanted_offset", BigInteger, nullable=False),
    Column("first_offset", BigInteger, nullable=False),
    Column("found_at", BigInteger, nullable=False),
)

# A replay: events of the bus from a time range, matched with a service again. It ends when every partition has been
# read up to where the log ended when it began. topic_id: of the log it reads. matched: events that the service wants;
# made: runs that are new. reason: why it ended early or passed something over, empty if it did not.
replays = Table(
    "replays",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("service_uid", String, nullable=False),
    Column("service", String, nullable=False),
    Column("as_new", Boolean, nullable=False),
    Column("topic_id", String, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("read", BigInteger, nullable=False),
    Column("matched", BigInteger, nullable=False),
    Column("made", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
)
_is_unfinished = replays.c.ended_at.is_(None)
Index("replays_unfinished", replays.c.id, sqlite_where=_is_unfinished, postgresql_where=_is_unfinished)

# How far a replay has read, and where it ends; moved in the transaction that claims.
replay_positions = Table(
    "replay_positions",
    metadata,
    Column("replay_id", ForeignKey("replays.id"), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("end_offset", BigInteger, nullable=False),
)

# Records of the quarantine that are done with: how is `redriven` or `purged`. The records themselves lie on the bus.
quarantine_settled = Table(
    "quarantine_settled",
    metadata,
    Column("topic_id", String, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("how", String, nullable=False),
    Column("settled_at", BigInteger, nullable=False),
)

__all__ = [
    "PURGED",
    "attempts",
    "events",
    "executions",
    "gaps",
    "inputs",
    "instance",
    "is_dead_letter",
    "is_in_flight",
    "is_listed_by_state",
    "is_live",
    "metadata",
    "outbox",
    "positions",
    "quarantine_settled",
    "queue",
    "replay_positions",
    "replays",
    "revisions",
    "roles",
    "services",
]
