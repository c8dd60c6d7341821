"""Redrive, replay, purge; finding the runs of an object, of a service, in a state.

In:  revision 0001. Out: revision 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _key_events()
    op.add_column("revisions", sa.Column("remarks", sa.Text(), nullable=True))
    op.add_column("executions", sa.Column("redrive_of", sa.String(), nullable=True))
    op.add_column("executions", sa.Column("replay", sa.String(), nullable=True))
    op.add_column("executions", sa.Column("purged_at", sa.BigInteger(), nullable=True))
    op.create_index("executions_object", "executions", ["bucket", "subject", "created_at"])
    is_redrive = sa.text("redrive_of IS NOT NULL")
    op.create_index(
        "executions_redrive", "executions", ["redrive_of"], sqlite_where=is_redrive, postgresql_where=is_redrive
    )
    is_dead_letter = sa.text("state IN ('dead') AND purged_at IS NULL")
    op.create_index(
        "executions_dead",
        "executions",
        ["created_at", "id"],
        sqlite_where=is_dead_letter,
        postgresql_where=is_dead_letter,
    )
    op.create_index("executions_service", "executions", ["service", "created_at", "id"])
    is_listed_by_state = sa.text("state IN ('cancelled', 'dead', 'expired', 'pending', 'superseded')")
    op.create_index(
        "executions_state",
        "executions",
        ["state", "created_at", "id"],
        sqlite_where=is_listed_by_state,
        postgresql_where=is_listed_by_state,
    )
    op.create_table(
        "replays",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("service_uid", sa.String(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("as_new", sa.Boolean(), nullable=False),
        sa.Column("topic_id", sa.String(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("read", sa.BigInteger(), nullable=False),
        sa.Column("matched", sa.BigInteger(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    is_unfinished = sa.text("ended_at IS NULL")
    op.create_index("replays_unfinished", "replays", ["id"], sqlite_where=is_unfinished, postgresql_where=is_unfinished)
    op.create_table(
        "replay_positions",
        sa.Column("replay_id", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("end_offset", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["replay_id"], ["replays.id"]),
        sa.PrimaryKeyConstraint("replay_id", "partition"),
    )
    op.create_table(
        "quarantine_settled",
        sa.Column("topic_id", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("how", sa.String(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic_id", "partition", "offset"),
    )


def _key_events() -> None:
    """Give events a key beside their id, and executions the key of theirs; until now no route named a service."""
    op.rename_table("events", "events_before")
    op.drop_index("events_object", "events_before")
    op.create_table(
        "events",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("bucket", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("file_id", sa.String(), nullable=True),
        sa.Column("modified_ns", sa.BigInteger(), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.execute(
        "INSERT INTO events"
        " (key, id, tenant, provider, bucket, subject, size, file_id, modified_ns, recorded_at, envelope)"
        " SELECT tenant || '/*/' || id, id, tenant, provider, bucket, subject, size, file_id, modified_ns,"
        " recorded_at, envelope FROM events_before"
    )
    op.drop_table("events_before")
    op.create_index("events_id", "events", ["id"])
    op.create_index("events_object", "events", ["provider", "bucket", "subject", "file_id", "size", "modified_ns"])
    op.add_column("executions", sa.Column("event_key", sa.String(), nullable=False, server_default=""))
    op.execute("UPDATE executions SET event_key = tenant || '/*/' || event_id")
