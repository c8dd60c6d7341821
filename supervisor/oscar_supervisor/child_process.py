"""Runs a script as a child of this process: in a group of its own, its output bounded, its descendants ended with it.

In:  a command. Out: how it ended.
Not here: what is left after a kill of this very process (the dispatcher's fence.py).

One thread waits for four things at once: output, the child's end (SIGCHLD, as a byte in a pipe), orders, the deadline.
No preexec_fn: without one CPython starts the child by vfork, 0.3 ms of CPU against 1.3 (measured, CPython 3.11).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable

from oscar_supervisor.bounded_log import BoundedLog
from oscar_supervisor.descendants import become_subreaper, end_descendants
from oscar_supervisor.interruption import Interruption
from oscar_supervisor.runner import Command, EndedBy, Runner, ScriptEnd

_READ_BYTES = 64 * 1024  # what a pipe holds
# What one read after the end takes: the largest pipe an unprivileged script can make of its output (pipe-max-size).
_LAST_READ_BYTES = 1024 * 1024
_LONGEST_POLL_MS = 3_600_000  # poll() counts in a C int, which holds 24 days; waking once an hour costs nothing

Take = Callable[[bytes], object]


class ChildProcessRunner(Runner):
    """Run scripts as children of this process. One per process: it owns SIGCHLD.

    grace_s: between TERM and KILL. inherited: descriptors the next script gets and holds as long as it lives.
    listener: gets everything the next script prints, as it comes; what it raises ends the script.
    """

    def __init__(self, grace_s: float) -> None:
        self.inherited: tuple[int, ...] = ()
        self.listener: Callable[[bytes], object] | None = None
        self._grace_s = grace_s
        become_subreaper()
        self._child_ended, write_end = os.pipe()
        os.set_blocking(self._child_ended, False)
        os.set_blocking(write_end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler nothing is written to the wakeup descriptor
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)

    def run(self, command: Command, interruption: Interruption, on_start: Callable[[int, float], None]) -> ScriptEnd:
        with BoundedLog(command.log) as log:
            take = self._taking(log)
            started_at = time.time()
            child = subprocess.Popen(
                ["/bin/sh", os.fspath(command.script)],
                cwd=command.directory,
                env=command.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                process_group=0,
                pass_fds=self.inherited,
            )
            assert child.stdout is not None
            try:
                with child.stdout:
                    on_start(child.pid, started_at)
                    ended_by = self._watch(child, child.stdout.fileno(), command.timeout_s, take, interruption)
                    ended_at = time.time()
                    _end_everything(child)
                    _drain(child.stdout.fileno(), take)
            finally:
                _end_everything(child)
            number = -child.returncode if child.returncode < 0 else None
            return ScriptEnd(
                exit_code=child.returncode if number is None else 128 + number,
                signal=number,
                by=ended_by,
                started_at=started_at,
                ended_at=ended_at,
                log=log.content(),
            )

    def _taking(self, log: BoundedLog) -> Take:
        listener = self.listener
        if listener is None:
            return log.write

        def take(chunk: bytes) -> None:
            log.write(chunk)
            listener(chunk)

        return take

    def _watch(
        self, child: subprocess.Popen[bytes], output: int, timeout_s: float, take: Take, interruption: Interruption
    ) -> EndedBy:
        """Return when the child has ended, reaped or not, and who ended it."""
        ended_by = EndedBy.ITSELF
        deadline = time.monotonic() + timeout_s
        poll = select.poll()
        for descriptor in (output, self._child_ended, interruption.fileno()):
            poll.register(descriptor, select.POLLIN)
        while not _has_ended(child.pid):
            left = deadline - time.monotonic()
            ready = dict(poll.poll(min(max(left, 0) * 1000, _LONGEST_POLL_MS)))
            if output in ready:
                if chunk := os.read(output, _READ_BYTES):
                    take(chunk)
                else:
                    poll.unregister(output)  # all closed their output; the end is awaited without it
            if self._child_ended in ready:
                os.read(self._child_ended, _READ_BYTES)
            cancelled = interruption.check()
            if ended_by is EndedBy.ITSELF and (cancelled or left <= 0):
                ended_by = EndedBy.CANCEL if cancelled else EndedBy.TIMEOUT
                deadline = time.monotonic() + self._grace_s
                _signal_group(child.pid, signal.SIGTERM)
            elif left <= 0:
                _kill(child.pid)
                deadline = time.monotonic() + self._grace_s
        return ended_by


def _has_ended(pid: int) -> bool:
    """Whether the child is over; it stays a zombie, so that its number still names its group."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_everything(child: subprocess.Popen[bytes]) -> None:
    if child.returncode is None:
        _kill(child.pid)
        child.wait()
    end_descendants()


def _kill(script: int) -> None:
    _signal_group(script, signal.SIGKILL)
    os.kill(script, signal.SIGKILL)  # it may have left its own group; not reaped yet, so the number is its own


def _signal_group(group: int, number: signal.Signals) -> None:
    # Gone, or (macOS) nothing in it but zombies: there is nobody left to tell.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _drain(output: int, take: Take) -> None:
    """Take what is still in the pipe, in one read: on macOS a daemon that got away may go on writing for ever."""
    os.set_blocking(output, False)
    with contextlib.suppress(BlockingIOError):
        take(os.read(output, _LAST_READ_BYTES))
