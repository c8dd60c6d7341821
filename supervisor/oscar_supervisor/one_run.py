"""One job in this process: its directory, its signals, its answer.

In:  a job, and where its script runs. Out: the answer on stdout, lines on stderr, an exit code.
Not here: which jobs there are (app.py), the attempt itself (pipeline.py).

Everything is below one directory that is gone afterwards, whatever happens but a kill. What the script prints is kept
there whole, as it may be the answer; memory holds none of it.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from oscar_events.errors import FencedError
from oscar_events.job import Job, Outcome, Report
from oscar_supervisor.answer import Sink, answer_files, answer_printed
from oscar_supervisor.child_process import ChildProcessRunner
from oscar_supervisor.desk import OUTPUT, Desk, remove
from oscar_supervisor.environment import speaks_of_object
from oscar_supervisor.output_files import Found, find_files
from oscar_supervisor.pipeline import run_attempt
from oscar_supervisor.runner import Runner
from oscar_supervisor.signals import Signals

FAILED = 1
_log = logging.getLogger("supervisor")
# A line of output longer than this is logged in pieces, so that no output is held in memory.
_LONGEST_LINE = 64 * 1024
# Of what was passed over in TMP_OUTPUT_DIR so much is named: enough to see a pattern.
_NAMED = 20


class _KeepingDesk(Desk):
    """A desk of one attempt whose files are still wanted after it; they go with the directory around them."""

    def clear(self, files: Path) -> None:
        """Leave the files."""


class _Lines:
    """Logs output line by line at DEBUG, as it comes."""

    def __init__(self) -> None:
        self._rest = b""

    def write(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            _log.debug("%s", line.decode("utf-8", "replace"))
        if len(self._rest) > _LONGEST_LINE:
            self.end()

    def end(self) -> None:
        if self._rest:
            _log.debug("%s", self._rest.decode("utf-8", "replace"))
        self._rest = b""


def run_job(job: Job, child: ChildProcessRunner, runner: Runner, signals: Signals, sink: Sink) -> int:
    """Run the job and give its answer to the sink. Return the exit code: the script's own, or what ended the run.

    child: the runner whose scripts print; runner: the same, or one around it. Raises OSError if the answer cannot be
    given: nobody reads it, the disk is full.
    """
    with signals.deferred(), _directory() as directory:
        job_directory, printed = directory / "job", directory / "printed"
        job_directory.mkdir()
        with printed.open("xb", buffering=0) as spool:
            lines = _Lines()
            child.listener = _listener(spool.write, lines)
            try:
                desk = _KeepingDesk(directory / "spare")
                end = run_attempt(job, job_directory, desk, runner, signals, lambda pid, at: None)
            except FencedError as error:
                _log.critical("stopped: %s", error)
                return signals.exit_code
            finally:
                lines.end()
        _log_end(end.report)
        with signals.obeyed():  # whoever is to read the answer may never do so
            _answer(job, end.report, job_directory / str(job.attempt) / OUTPUT, printed, directory, sink)
        return _exit_code(end.report, signals)


def _listener(spool: Callable[[bytes], object], lines: _Lines) -> Callable[[bytes], object]:
    if not _log.isEnabledFor(logging.DEBUG):
        return spool

    def listen(chunk: bytes) -> None:
        spool(chunk)
        lines.write(chunk)

    return listen


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory where TMPDIR says; remove it, however deep the script made it."""
    directory = tempfile.mkdtemp(prefix="oscar-supervisor-")
    try:
        yield Path(directory)
    finally:
        remove(directory)


def _answer(job: Job, report: Report, output: Path, printed: Path, scratch: Path, sink: Sink) -> None:
    succeeded = report.outcome is Outcome.SUCCEEDED
    found = find_files(output) if succeeded else Found()
    for what in found.passed_over[:_NAMED]:
        _log.warning("not an output: %s", what)
    if found.files and not speaks_of_object(job):
        answer_files(output, found.files, scratch / "answer.zip", sink)
    elif report.started_at is not None:
        answer_printed(printed, sink)


def _log_end(report: Report) -> None:
    for output in report.outputs:
        _log.info("put %s/%s to %s, %d bytes", output.bucket, output.key, output.provider, output.size)
    if report.outcome is Outcome.SUCCEEDED:
        _log.info("the script succeeded")
    elif report.failure is None:
        _log.critical("%s", report.reason)
    else:
        _log.critical("%s: %s", report.failure.value, one_line(report.reason))


def one_line(reason: str) -> str:
    """Return a reason without line ends, so that who reads logs by lines finds it whole."""
    return " ".join(reason.split())


def _exit_code(report: Report, signals: Signals) -> int:
    if report.outcome is Outcome.SUCCEEDED:
        return 0
    if report.outcome is Outcome.CANCELLED:
        return signals.exit_code
    return report.exit_code or FAILED
