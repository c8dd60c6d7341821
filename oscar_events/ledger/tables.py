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

revisions = Table(
    "revisions",
    metadata,
    Column("service_uid", ForeignKey("services.uid"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("document", Text, nullable=False),
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

# Each event that started something, once. subject: the percent-encoded key. envelope: the record's value as it lay on
# the bus.
events = Table(
    "events",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("bucket", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("size", BigInteger),
    Column("file_id", String),
    Column("modified_ns", BigInteger),
    Column("recorded_at", BigInteger, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
)
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
# revision: of the service, fixed with the first lease. input: which of the service's inputs matched.
executions = Table(
    "executions",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("service_uid", ForeignKey("services.uid"), nullable=False),
    Column("service", String, nullable=False),
    Column("event_id", String, nullable=False),
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
)
Index("executions_page", executions.c.created_at, executions.c.id)
Index("executions_event", executions.c.event_id)


def _in_one_of(states: frozenset[State]) -> ColumnElement[bool]:
    """Return the condition with its states written out: one with parameters makes no database use a partial index."""
    names = sorted(state.value for state in states)
    return executions.c.state.in_(bindparam("states", names, expanding=True, literal_execute=True, unique=True))


# For queries too: only with these very conditions the two indexes are used.
is_live = _in_one_of(LIVE)
is_in_flight = _in_one_of(IN_FLIGHT)
Index("executions_live", executions.c.service_uid, executions.c.id, sqlite_where=is_live, postgresql_where=is_live)
Index("executions_in_flight", executions.c.id, sqlite_where=is_in_flight, postgresql_where=is_in_flight)

# token: of the present lease; every update of a leased attempt compares it. log: head and tail of the script's output.
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

__all__ = [
    "attempts",
    "events",
    "executions",
    "gaps",
    "inputs",
    "instance",
    "is_in_flight",
    "is_live",
    "metadata",
    "outbox",
    "positions",
    "queue",
    "revisions",
    "roles",
    "services",
]
