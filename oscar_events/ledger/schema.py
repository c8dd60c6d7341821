"""How the ledger's tables come to be, and which version of this program wrote them.

In:  a connection. Out: tables at this version's state, or which state they are in.
Not here: opening a database (sqlite.py, postgresql.py), the migrations themselves (migrations/).
"""

from __future__ import annotations

import uuid
from enum import Enum

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, insert, select

from oscar_events.errors import ConfigurationError
from oscar_events.ledger import tables
from oscar_events.ledger.port import now

_MIGRATIONS = "oscar_events.ledger:migrations"


def migrate(connection: Connection) -> None:
    """Bring the tables to this version's state. Raises ConfigurationError if a newer version wrote them."""
    config = _alembic()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        head = ScriptDirectory.from_config(config).get_current_head()
        raise ConfigurationError(
            f"the ledger was written by a newer oscar-events (this one knows migrations up to {head}): {error}; "
            "install the newer version, or name another data directory"
        ) from error


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    return config


class Age(Enum):
    """Whether this version wrote a ledger's tables last."""

    OLDER = "older"
    PRESENT = "present"
    NEWER = "newer"


def age(connection: Connection) -> Age:
    """Return which version wrote the tables; nothing is changed."""
    directory = ScriptDirectory.from_config(_alembic())
    found = MigrationContext.configure(connection).get_current_revision()
    if found == directory.get_current_head():
        return Age.PRESENT
    known = {script.revision for script in directory.walk_revisions()}
    return Age.OLDER if found is None or found in known else Age.NEWER


def instance(connection: Connection) -> str:
    """Return the ledger's uuid; the first to open it makes one."""
    found = connection.scalar(select(tables.instance.c.uuid))
    if found is not None:
        return str(found)
    made = str(uuid.uuid4())
    connection.execute(insert(tables.instance).values(id=1, uuid=made, generation=0, created_at=now(connection)))
    return made
