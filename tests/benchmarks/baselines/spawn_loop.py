"""A bare asyncio loop that spawns one shell after another, with the same durable work as one of our runs.

In:  a ledger with claimed executions. Out: seconds until all have succeeded in it.
Not here: leases that expire, fencing, staging, logs, retries, fairness. "The same durable work" is the same rows in the
same tables in the same three commits a run: leased, submitted (before the shell starts), succeeded with its line in the
outbox; written with plain sqlite3, as one would by hand.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path

from oscar_events import sqlite

LEASED = (
    "UPDATE executions SET state = 'leased', revision = 1 WHERE id = :run AND state = 'pending'",
    "INSERT INTO attempts (execution_id, number, nonce, token, epoch, lease_until) VALUES (:run, 1, 'n', 't', 1, :now)",
    "DELETE FROM queue WHERE execution_id = :run",
)
SUBMITTED = (
    "UPDATE attempts SET submitted_at = :now, spec_hash = 'h' WHERE execution_id = :run AND number = 1",
    "UPDATE executions SET state = 'submitted', first_submit_at = :now WHERE id = :run AND state = 'leased'",
)
SUCCEEDED = (
    "UPDATE attempts SET ended_at = :now, outcome = 'succeeded', log = '' WHERE execution_id = :run AND number = 1",
    "UPDATE executions SET state = 'succeeded', exit_code = 0, outputs = '[]', ended_at = :now WHERE id = :run",
    "INSERT INTO outbox (topic, key, value, created_at) VALUES ('oscar.executions', :run, :document, :now)",
)


def commit(ledger: sqlite3.Connection, statements: tuple[str, ...], run: str) -> None:
    """Execute the statements for the run in one synced transaction."""
    values = {"run": run, "now": int(time.time() * 1000), "document": json.dumps({"id": run, "state": "succeeded"})}
    ledger.execute("BEGIN IMMEDIATE")
    for statement in statements:
        ledger.execute(statement, values)
    ledger.execute("COMMIT")


async def spawn_one_after_another(ledger_db: Path) -> float:
    """Return how long it took, seconds."""
    ledger = sqlite.connect(ledger_db)
    runs = [run for (run,) in ledger.execute("SELECT execution_id FROM queue ORDER BY not_before_at, execution_id")]
    started = time.perf_counter()
    for run in runs:
        commit(ledger, LEASED, run)
        commit(ledger, SUBMITTED, run)
        child = await asyncio.create_subprocess_exec("/bin/sh", "-c", "true")
        await child.wait()
        commit(ledger, SUCCEEDED, run)
    took = time.perf_counter() - started
    ledger.close()
    return took
