"""A worker of the `process` backend: `python -m oscar_supervisor.worker`, one attempt at a time, until told to go.

In:  orders as frames on stdin. Out: answers as frames on stdout (oscar_events/frames.py says which follows which).
Not here: the attempt itself (pipeline.py); which worker gets which attempt (the dispatcher's local_process.py).

The end of stdin, at any moment, and SIGTERM: the script and all it started are killed, nothing more is published.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from oscar_events.frames import Ask, Ended, FromWorker, Run, Started, frame
from oscar_events.holder import SPARE_PREFIX
from oscar_supervisor.child_process import ChildProcessRunner
from oscar_supervisor.descendants import end_descendants
from oscar_supervisor.desk import Desk
from oscar_supervisor.interruption import AbandonedError
from oscar_supervisor.lock import ExecutionLock
from oscar_supervisor.orders import Orders
from oscar_supervisor.pipeline import run_attempt
from oscar_supervisor.runner import GRACE_S


class Worker:
    """Obey orders from one descriptor, answer on another."""

    def __init__(self, orders: Orders, answers: int, grace_s: float) -> None:
        self._orders = orders
        self._answers = answers
        self._runner = ChildProcessRunner(grace_s)

    def serve(self) -> None:
        """Do attempts until the dispatcher goes. Raises AbandonedError."""
        order = self._orders.next_run()
        # Beside the executions' directories, so that a rename is all it takes.
        desk = Desk(Path(order.directory).with_name(f"{SPARE_PREFIX}{os.getpid()}"))
        desk.close()  # of a worker of the same number that was killed
        try:
            while True:
                self._attempt(order, desk)
                order = self._orders.next_run()
        finally:
            desk.close()

    def _attempt(self, order: Run, desk: Desk) -> None:
        job = order.job
        directory = Path(order.directory)
        with ExecutionLock(directory, self._orders, job.attempt) as lock:
            self._say(Ask(job.execution, job.attempt))
            if not self._orders.answer():
                lock.clear()
                return

            def started(script: int, at: float) -> None:
                lock.record(script)
                self._say(Started(job.execution, job.attempt, at))

            self._runner.inherited = (lock.descriptor,)
            end = run_attempt(job, directory, desk, self._runner, self._orders, started)
            lock.clear()
            self._say(Ended(end.report, end.log))

    def _say(self, message: FromWorker) -> None:
        try:
            data = memoryview(frame(message))
            while data:
                data = data[os.write(self._answers, data) :]
        except BrokenPipeError as error:
            raise AbandonedError("nobody reads the answers any more") from error


def main(grace_s: float = GRACE_S) -> None:
    """Serve on the descriptors 0 and 1, which from here on are nobody else's. grace_s: between TERM and KILL."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    orders, answers = os.dup(0), os.dup(1)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)  # what prints by mistake lands where errors do
    # To go is to find the pipe of orders at its end: one way out, whatever is being waited for.
    signal.signal(signal.SIGTERM, lambda *_: os.dup2(nowhere, orders, inheritable=False))
    try:
        Worker(Orders(orders), answers, grace_s).serve()
    except AbandonedError:
        pass
    finally:
        end_descendants()


if __name__ == "__main__":
    main()
