"""What a PostgreSQL database has to be like before it is used as the ledger.

In:  a connection on it. Out: what was found there; a ConfigurationError with the remedy if it is unfit.
Not here: connecting (postgresql.py), the tables' history (schema.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from oscar_events.errors import ConfigurationError
from oscar_events.ledger import schema
from oscar_events.ledger.schema import Age
from oscar_events.ledger.tables import metadata

# The oldest that PostgreSQL's own project still mended when this was written is 14; 13 is the oldest with all that is
# used here (tcp_user_timeout is of 12, dropping rights of `trusted` extensions of none).
OLDEST_SERVER = 13
UPGRADE = "run `oscar-events ledger upgrade`"
# Two upgrades at once take turns under this lock: "oscar" in ASCII.
_UPGRADE_LOCK = 0x6F73636172

_FACTS = text(
    "SELECT current_setting('server_version_num')::integer AS version,"
    " current_setting('server_version') AS version_name,"
    " current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync,"
    " current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby,"
    " current_setting('transaction_read_only') AS read_only, current_user AS user, current_database() AS database"
)
_RIGHTS = text(
    "SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relname = ANY(:tables)"
    " AND pg_table_is_visible(c.oid)"
    " AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')"
    " AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')) ORDER BY c.relname"
)
_SIZES = text(
    "SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes, greatest(c.reltuples, 0)::bigint AS rows"
    " FROM pg_class c WHERE c.relkind = 'r' AND c.relname = ANY(:tables) AND pg_table_is_visible(c.oid)"
    " ORDER BY bytes DESC, name"
)


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table with its indexes. rows: as the server last estimated."""

    name: str
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What is there. age: of the tables, None if there are none; migration: the newest one they have had."""

    server: str
    synchronous_commit: str
    fsync: str
    encoding: str
    age: Age | None
    migration: str | None
    newest_migration: str
    tables: tuple[TableSize, ...]
    unfit: tuple[str, ...]


def look(connection: Connection) -> DatabaseState:
    """Return what the database is like; unfit: why it cannot be the ledger's, each with its remedy."""
    facts = connection.execute(_FACTS).one()
    migration, newest = schema.revisions(connection)
    age = None if migration is None else schema.age(connection)
    names = {"tables": sorted(metadata.tables)}
    forbidden = [] if age is None else list(connection.scalars(_RIGHTS, names))
    unfit = [
        reason
        for holds, reason in (
            (
                facts.version < OLDEST_SERVER * 10000,
                f"it is PostgreSQL {facts.version_name}; {OLDEST_SERVER} or newer is needed",
            ),
            (
                facts.standby or facts.read_only == "on",
                "it is read only: a standby, or default_transaction_read_only; name the primary in ledger.url",
            ),
            (
                facts.synchronous_commit == "off",
                "synchronous_commit is off, so a crash would lose what was acknowledged; turn it on for this server, "
                f'user and database: ALTER ROLE "{facts.user}" RESET synchronous_commit; ALTER DATABASE '
                f'"{facts.database}" RESET synchronous_commit; ALTER SYSTEM RESET synchronous_commit; '
                "SELECT pg_reload_conf()",
            ),
            (
                facts.encoding != "UTF8",
                f"its encoding is {facts.encoding}; create it with ENCODING 'UTF8' TEMPLATE template0",
            ),
            (age is None, f"it has no ledger yet; {UPGRADE}"),
            (age is Age.OLDER, f"its tables are of an older oscar-events (migration {migration}); {UPGRADE}"),
            (
                age is Age.NEWER,
                f"its tables are of a newer oscar-events (migration {migration}, this one knows up to {newest}); "
                "install the newer version",
            ),
            (
                bool(forbidden),
                f'the user "{facts.user}" may not read and write {", ".join(forbidden)}; as their owner: '
                f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "{facts.user}"; '
                f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "{facts.user}"',
            ),
        )
        if holds
    ]
    sizes = tuple(TableSize(row.name, row.bytes, row.rows) for row in connection.execute(_SIZES, names))
    return DatabaseState(
        facts.version_name,
        facts.synchronous_commit,
        facts.fsync,
        facts.encoding,
        age,
        migration,
        newest,
        sizes,
        tuple(unfit),
    )


def require_fit(connection: Connection, where: str) -> None:
    """Raise ConfigurationError, with every reason and remedy, unless the database can be used as it is."""
    if unfit := look(connection).unfit:
        raise ConfigurationError(f"{where}: " + "; ".join(unfit))


def upgrade(connection: Connection, where: str) -> tuple[str | None, str]:
    """Bring the tables to this version's state, in the connection's transaction; return the migration before and after.

    Two at once take turns. Raises ConfigurationError if the database could not be used even then.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
    found = look(connection)
    for_good = [reason for reason in found.unfit if UPGRADE not in reason]
    if for_good:
        raise ConfigurationError(f"{where}: " + "; ".join(for_good))
    schema.migrate(connection)
    schema.instance(connection)
    return found.migration, found.newest_migration
