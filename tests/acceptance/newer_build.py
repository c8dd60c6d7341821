"""The command line of a build that does not exist yet: a higher version, envelopes with one attribute more and, with
NEWER_MIGRATIONS in the environment, one more additive migration in that directory.

In:  a command line, as `oscar-events` takes it. Out: what that does.
Not here: what is proven with it (test_versions.py). Started as a program: it changes the product before its parts load.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import oscar_events
from oscar_events import codec
from oscar_events.event import StorageEvent
from oscar_events.ledger import migrations, schema
from oscar_events.record import Record

MIGRATION = '''
"""What a later version needs."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("later", sa.String(), nullable=True))
'''


def main() -> None:
    """Become the newer build, and do what the command line says."""
    oscar_events.__version__ = "99.0"
    _add_attribute()
    if directory := os.environ.pop("NEWER_MIGRATIONS", ""):
        _add_migration(Path(directory))
    from oscar_events.cli import app

    app.main()


def _add_attribute() -> None:
    encode = codec.encode

    def encode_newer(event: StorageEvent) -> Record:
        record = encode(event)
        envelope = json.loads(record.value) | {"later": "an attribute of a later version"}
        return dataclasses.replace(record, value=json.dumps(envelope).encode())

    codec.encode = encode_newer


def _add_migration(directory: Path) -> None:
    """Copy the migrations there, several processes may, and add one to them."""
    own = directory / str(os.getpid())
    shutil.copytree(Path(str(migrations.__file__)).parent, own)
    (own / "versions" / "9999_later.py").write_text(MIGRATION.format(before=schema.MIGRATIONS[-1]))
    schema._SCRIPTS, schema.MIGRATIONS = str(own), (*schema.MIGRATIONS, "9999")


if __name__ == "__main__":
    main()
