"""Alembic's entry: run the migrations on the connection it was handed.

In:  `config.attributes["connection"]`. Out: tables at the wanted revision.
Not here: when (schema.py), the migrations themselves (versions/).
"""

from __future__ import annotations

from alembic import context

from oscar_events.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=False,
)
context.run_migrations()
