"""A log that keeps the head and the tail of what was written, in linear time and bounded memory.

In:  chunks of a script's output. Out: the log as bytes, and while it grows as a file that anybody may read.
Not here: where the chunks come from (child_process.py), where the log is kept for good (the ledger).
"""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

# The head says which program ran with which settings, the tail why it stopped: a screen is 10 KiB, a deep traceback 50.
# Together 128 KiB, as every attempt's log is a value in the ledger: a thousand of them are 128 MiB.
HEAD_BYTES = 64 * 1024
TAIL_BYTES = 64 * 1024
# Once the head is full the tail is rewritten at most so often: a script that prints 1 GB/s costs 64 KiB/s of writes.
_REFRESH_S = 1.0


class BoundedLog:
    """Keep head and tail of a log; the middle becomes one line that says how much is missing."""

    def __init__(self, file: Path | None = None, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._dropped = 0
        self._head_bytes, self._tail_bytes = head_bytes, tail_bytes
        self._file = file
        self._descriptor: int | None = None
        self._refresh_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def write(self, chunk: bytes) -> None:
        """Append a chunk. A file that cannot be written is given up: the script must not fail for its log."""
        room = self._head_bytes - len(self._head)
        if room:
            self._head += chunk[:room]
        if rest := chunk[room:]:
            self._keep_tail(rest)
        if self._file is not None:
            try:
                self._show(chunk[:room], bool(rest))
            except OSError:
                self._file = None

    def content(self) -> bytes:
        """Return head, the line about what is missing, and tail."""
        tail = b"".join(self._tail)
        excess = max(0, len(tail) - self._tail_bytes)
        dropped = self._dropped + excess
        gap = b"\n[... %d bytes of output left out ...]\n" % dropped if dropped else b""
        return bytes(self._head) + gap + tail[excess:]

    def _keep_tail(self, chunk: bytes) -> None:
        self._tail.append(chunk)
        self._tail_size += len(chunk)
        while self._tail_size - len(self._tail[0]) >= self._tail_bytes:
            gone = len(self._tail.popleft())
            self._tail_size -= gone
            self._dropped += gone

    def _show(self, new_head: bytes, tail_grew: bool) -> None:
        if self._descriptor is None:
            # Opened with the first output: most scripts print nothing, and a file costs more than they do.
            assert self._file is not None
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._descriptor = os.open(self._file, flags, 0o600)
        if new_head:
            os.pwrite(self._descriptor, new_head, len(self._head) - len(new_head))
        if tail_grew and (now := time.monotonic()) >= self._refresh_at:
            self._refresh_at = now + _REFRESH_S
            content = self.content()
            os.pwrite(self._descriptor, content[self._head_bytes :], self._head_bytes)
            os.ftruncate(self._descriptor, len(content))
