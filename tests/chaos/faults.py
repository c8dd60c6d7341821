"""The real command with faults patched into it: `python -m tests.chaos.faults FAULT,FAULT ARGUMENTS...`

In:  names of faults, and what `oscar-events` is given. Out: the product, broken in exactly that way.
Not here: showing that the checker notices (test_checker_can_fail.py). The product has no switch for any of this.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

from oscar_dispatcher.backends import local_process, slot
from oscar_dispatcher.batch import Claimer, Reading
from oscar_dispatcher.held import HeldPartitions
from oscar_dispatcher.outbox import OutboxPublisher
from oscar_events import identity
from oscar_events.cli import app
from oscar_events.errors import BusError
from oscar_events.ledger import claims, outbox
from oscar_events.ledger.positions import Position
from oscar_events.record import Record
from oscar_ingest.reconcile import Reconciler
from oscar_supervisor import failures, worker
from oscar_supervisor.lock import ExecutionLock

_WORKER = "worker"  # instead of arguments: be a worker, with these faults
_write = Claimer._write


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_before_the_claim() -> None:
    """The order is right: whatever was not claimed is read again."""

    async def write(self: Claimer, readings: Sequence[Reading], read: Sequence[Position]) -> None:
        _die()

    patch.object(Claimer, "_write", write).start()


def _position_before_the_claim() -> None:
    async def write(self: Claimer, readings: Sequence[Reading], read: Sequence[Position]) -> None:
        await _write(self, [], read)  # the position and nothing else
        _die()

    patch.object(Claimer, "_write", write).start()


def _quarantine_away() -> None:
    """The order is right: the partition waits until its record is kept."""
    publish, tries = HeldPartitions._publish, iter(range(3))

    async def away(self: HeldPartitions, entries: Sequence[Record]) -> None:
        if entries and next(tries, None) is not None:
            raise BusError("asked for by the test")
        await publish(self, entries)

    patch.object(HeldPartitions, "_publish", away).start()


def _quarantine_skipped_on_error() -> None:
    keep = HeldPartitions.keep

    async def kept(self: HeldPartitions, refused: Sequence[Reading]) -> None:
        await keep(self, refused)
        self._refused.clear()
        for one in refused:
            one.is_kept = True

    patch.object(HeldPartitions, "keep", kept).start()


def _outbox_skipped() -> None:
    async def publish(self: OutboxPublisher, rows: list[outbox.Waiting]) -> None:
        await self._ledger.write(lambda c: outbox.acknowledged(c, [row.id for row in rows]))

    patch.object(OutboxPublisher, "_publish", publish).start()


def _no_reconciler() -> None:
    async def run_once(self: Reconciler, *, rested: bool = False) -> int:
        return 0

    patch.object(Reconciler, "run_once", run_once).start()


def _hash_without_lengths() -> None:
    def digest(fields: tuple[str | bytes, ...]) -> bytes:
        data = b"".join(field.encode() if isinstance(field, str) else field for field in fields)
        return hashlib.sha256(data).digest()

    patch.object(identity, "_digest", digest).start()


def _claim_under_any_name() -> None:
    patch.object(claims, "execution_id", lambda *fields: secrets.token_hex(identity.EXECUTION_ID_LENGTH // 2)).start()


def _no_fence() -> None:
    patch.object(slot, "fence", lambda directory, execution, attempt: None).start()
    patch.object(ExecutionLock, "_taken", lambda self: True).start()


def _exit_code_ignored() -> None:
    patch.object(failures, "check_script", lambda end, timeout_s: None).start()


def _killed_before_forgetting() -> None:
    async def forget(self: local_process.ProcessBackend, execution: str) -> None:
        _die()

    patch.object(local_process.ProcessBackend, "forget", forget).start()


FAULTS: dict[str, Callable[[], None]] = {
    "killed before the claim": _killed_before_the_claim,
    "position before the claim": _position_before_the_claim,
    "quarantine away": _quarantine_away,
    "quarantine skipped on error": _quarantine_skipped_on_error,
    "outbox skipped": _outbox_skipped,
    "no reconciler": _no_reconciler,
    "hash without lengths": _hash_without_lengths,
    "claim under any name": _claim_under_any_name,
    "no fence": _no_fence,
    "exit code ignored": _exit_code_ignored,
    "killed before forgetting": _killed_before_forgetting,
}


def _in_workers_too(names: str) -> None:
    """Have workers started through this module, with the same faults: their environment would not carry them there."""
    start = asyncio.create_subprocess_exec

    async def start_worker(python: str, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        assert arguments[-1] == "oscar_supervisor.worker"
        return await start(python, "-m", "tests.chaos.faults", names, _WORKER, **options)

    patch.object(asyncio, "create_subprocess_exec", start_worker).start()


def main() -> None:
    """Patch, and be the command or its worker."""
    names, *arguments = sys.argv[1:]
    for name in names.split(","):
        FAULTS[name]()
    if arguments == [_WORKER]:
        worker.main()
        return
    _in_workers_too(names)
    sys.argv[1:] = arguments
    app.main()


if __name__ == "__main__":
    main()
