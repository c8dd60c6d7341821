"""What several dispatchers and ingests need: hosts, tombstones, etags.

In:  revision 0002. Out: revision 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("etag", sa.String(), nullable=True))
    op.add_column("attempts", sa.Column("host", sa.String(), nullable=True))
    op.add_column("executions", sa.Column("emptied_at", sa.BigInteger(), nullable=True))
    is_whole = sa.text("ended_at IS NOT NULL AND emptied_at IS NULL")
    op.create_index("executions_whole", "executions", ["ended_at"], sqlite_where=is_whole, postgresql_where=is_whole)
    is_tombstone = sa.text("emptied_at IS NOT NULL")
    op.create_index(
        "executions_tombstone", "executions", ["ended_at"], sqlite_where=is_tombstone, postgresql_where=is_tombstone
    )
    op.create_index("executions_of_event", "executions", ["event_key"])
