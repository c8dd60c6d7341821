"""How the ledger's tables come to be, and which version of this program wrote them.

In:  a connection. Out: tables at this version's state, or which state they are in.
Not here: opening a database (sqlite.py, postgresql.py), the migrations themselves (migrations/).

Alembic is loaded only to change tables: importing it costs a command as much as all it does (0.15 s of CPU).
"""

from __future__ import annotations

import uuid
from enum import Enum

from sqlalchemy import Connection, column, inspect, select, table

from oscar_events.errors import ConfigurationError
from oscar_events.ledger import tables
from oscar_events.ledger.port import now
from oscar_events.ledger.rows import insert_unless_there

# The migrations in migrations/versions/, the oldest first; a test compares.
MIGRATIONS: tuple[str, ...] = ("0001", "0002", "0003")
_SCRIPTS = "oscar_events.ledger:migrations"
# Where alembic notes the newest migration that the tables have had.
_VERSION = table("alembic_version", column("version_num"))


def migrate(connection: Connection) -> None:
    """Bring the tables to this version's state. Raises ConfigurationError if a newer version wrote them."""
    found = age(connection)
    if found is Age.NEWER:
        raise ConfigurationError(
            f"the ledger was written by a newer oscar-events (its tables have migration {_migration(connection)}, this "
            f"one knows up to {MIGRATIONS[-1]}); install the newer version, or name another data directory"
        )
    if found is Age.OLDER:
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", _SCRIPTS)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


class Age(Enum):
    """Whether this version wrote a ledger's tables last."""

    OLDER = "older"
    PRESENT = "present"
    NEWER = "newer"


def age(connection: Connection) -> Age:
    """Return which version wrote the tables; nothing is changed."""
    found = _migration(connection)
    if found == MIGRATIONS[-1]:
        return Age.PRESENT
    return Age.OLDER if found is None or found in MIGRATIONS else Age.NEWER


def revisions(connection: Connection) -> tuple[str | None, str]:
    """Return the newest migration that the tables have had, None if there are no tables, and the newest there is."""
    return _migration(connection), MIGRATIONS[-1]


def _migration(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.scalar(select(_VERSION.c.version_num))


def instance(connection: Connection) -> str:
    """Return the ledger's uuid; the first to open it makes one."""
    found = connection.scalar(select(tables.instance.c.uuid))
    if found is not None:
        return str(found)
    row = {"id": 1, "uuid": str(uuid.uuid4()), "generation": 0, "created_at": now(connection)}
    insert_unless_there(connection, tables.instance, [row])
    return str(connection.execute(select(tables.instance.c.uuid)).scalar_one())
