"""A ledger with as many runs as a busy year leaves, made by the database itself.

In:  a connection of a superuser on an empty, migrated database; a number. Out: its tables filled and analysed.
Not here: asking such a ledger (tests/integration, tests/benchmarks).
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from oscar_events.ledger.tables import attempts, events, executions

SERVICES = 20
# In a thousand: so many are dead, cancelled, expired; the rest has succeeded, but for the newest.
_DEAD, _CANCELLED, _EXPIRED = 10, 5, 2
QUEUED = 2000
IN_FLIGHT = 50
_START_MS = 1_770_000_000_000
# Letters and digits of base32, as ids have.
_ID = "translate(left(md5({0}::text) , 26), '0189', 'wxyz')"

_SERVICES = f"""
INSERT INTO services (uid, tenant, name, revision, created_at, updated_at)
SELECT 'uid-' || n, 'default', 'service-' || n, 1, {_START_MS}, {_START_MS} FROM generate_series(1, {SERVICES}) n
"""
_EVENTS = f"""
INSERT INTO events (key, id, tenant, provider, bucket, subject, size, recorded_at, envelope)
SELECT 'default/*/' || event, event, 'default', 'minio.default', 'bucket-' || n % 10,
    'in/' || n % 1000 || '/' || n || '.png', n, {_START_MS} + n, repeat('x', 300)::bytea
FROM (SELECT n, {_ID.format("'event' || n")} AS event FROM generate_series(1, :count) n) made
"""
_EXECUTIONS = f"""
INSERT INTO executions (id, tenant, service_uid, service, event_id, event_key, bucket, subject, input, state, attempt,
    revision, cancel_requested, failure, reason, exit_code, outputs, created_at, first_submit_at, started_at, ended_at)
SELECT {_ID.format("n")}, 'default', 'uid-' || service, 'service-' || service, event, 'default/*/' || event,
    'bucket-' || n % 10, 'in/' || n % 1000 || '/' || n || '.png', 0, state, 1,
    CASE WHEN state = 'pending' THEN NULL ELSE 1 END, false, CASE WHEN state = 'dead' THEN 'user' END, '',
    CASE state WHEN 'succeeded' THEN 0 WHEN 'dead' THEN 1 END, CASE WHEN state = 'succeeded' THEN '["b/k"]' END,
    {_START_MS} + n, {_START_MS} + n + 20, {_START_MS} + n + 40,
    CASE WHEN state NOT IN ('pending', 'submitted') THEN {_START_MS} + n + 500 END
FROM (
    SELECT n, 1 + n % {SERVICES} AS service, {_ID.format("'event' || n")} AS event,
        CASE WHEN n > :count - {QUEUED} THEN 'pending' WHEN n > :count - {QUEUED + IN_FLIGHT} THEN 'submitted'
             WHEN n % 1000 < {_DEAD} THEN 'dead' WHEN n % 1000 < {_DEAD + _CANCELLED} THEN 'cancelled'
             WHEN n % 1000 < {_DEAD + _CANCELLED + _EXPIRED} THEN 'expired' ELSE 'succeeded' END AS state
    FROM generate_series(1, :count) n
) made
"""
_ATTEMPTS = """
INSERT INTO attempts (execution_id, number, nonce, token, epoch, lease_until, spec_hash, submitted_at, started_at,
    ended_at, outcome, exit_code, log)
SELECT id, 1, left(id, 16), right(id, 16), 1, first_submit_at, 'spec', first_submit_at, started_at, ended_at,
    CASE WHEN ended_at IS NOT NULL THEN 'succeeded' END, exit_code, 'log'::bytea
FROM executions WHERE state <> 'pending'
"""
_QUEUE = """
INSERT INTO queue (execution_id, service_uid, tenant, not_before_at)
SELECT id, service_uid, tenant, created_at FROM executions WHERE state = 'pending'
"""


def fill(connection: Connection, count: int, *, is_logged: bool = True) -> None:
    """Fill the tables with so many runs, each of an event of its own: most of a minute for a million, indexes last.

    is_logged: as a real ledger; without, the tables are gone with a crash, and filled a sixth faster.
    """
    indexes = [index for table in (events, executions, attempts) for index in sorted(table.indexes, key=str)]
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL jit = off"))
    if not is_logged:
        for name in ("attempts", "queue", "executions", "events"):  # those that refer to others first
            connection.execute(text(f"ALTER TABLE {name} SET UNLOGGED"))
    connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))  # each index is sorted in memory
    connection.execute(text("SET LOCAL session_replication_role = replica"))  # foreign keys hold by construction
    for index in indexes:
        index.drop(connection)
    for statement in (_SERVICES, _EVENTS, _EXECUTIONS, _ATTEMPTS, _QUEUE):
        connection.execute(text(statement), {"count": count} if ":count" in statement else {})
    for index in indexes:
        index.create(connection)
    connection.execute(text("ANALYZE"))
