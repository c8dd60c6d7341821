"""The command `oscar-supervisor`: one event, one process.

In:  an event on stdin or in a file; a service in OSCAR's files and variables, in a service file, or a job document.
Out: results in the service's outputs, the answer on stdout, logs on stderr, an exit code.
Not here: attempts of the platform itself (worker.py takes its orders from a dispatcher).

It stands in for the `supervisor` that OSCAR starts in the user's container. What it does otherwise, on purpose (OSCAR's
behaviour in brackets; reference/supervisor.md §16):

- The script's exit code is this command's [0], and a script that failed publishes nothing [its outputs are put].
- No script, no credentials, an undefined provider: exit code 1 and one line that says so [0, or the script runs on the
  event]. Every other failure too: class and reason, in the words of our reports, also at log level CRITICAL.
- SIGTERM and SIGINT are the script's too, with 10 s to end; then 143 or 130 [the script runs on].
- Every record of an event is run, one after the other; the exit code is that of the first that failed [only the first].
- A removed object is not fetched; a folder's marker and a storage's test event start nothing [exit code 1].
- Names from events are never paths [Onedata's and dCache's are].
- Logs never hold an event or an access key [both are at INFO].
- `execution_mode`, EXTRA_PAYLOAD and the variables for udocker have no effect: the script runs in this container.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from oscar_events import __version__
from oscar_events.errors import ConfigurationError, OscarEventsError
from oscar_events.job import FailureClass, Job, decode_job
from oscar_events.paths import printable
from oscar_supervisor import failures
from oscar_supervisor.child_process import ChildProcessRunner
from oscar_supervisor.environment import speaks_of_object
from oscar_supervisor.given_descriptors import (
    occupy_standard_descriptors,
    read_file,
    read_stdin,
    stdin_is_a_terminal,
    to_stdout,
)
from oscar_supervisor.job_of_event import Jobs, jobs_of
from oscar_supervisor.one_run import FAILED, one_line, run_job
from oscar_supervisor.oscar_files import read_oscar_service, read_script
from oscar_supervisor.own_container import OwnContainerRunner
from oscar_supervisor.runner import GRACE_S, Runner
from oscar_supervisor.service_facts import ServiceFacts
from oscar_supervisor.signals import Signals

_LEVELS = ("NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
_log = logging.getLogger("supervisor")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code: the script's, 1 for other failures, 2 for a wrong command line."""
    occupy_standard_descriptors()
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.job is not None and options.event != "-":
        parser.error("a job document holds its event; leave --event or --job out")
    logging.basicConfig(stream=sys.stderr, format=_FORMAT, level=logging.INFO)
    signals = Signals()
    try:
        if options.job is not None:
            return _run_job_document(options, signals)
        return _run_event(options, signals)
    except (OscarEventsError, OSError) as error:
        _log.critical("%s: %s", failures.class_of(error).value, one_line(failures.sentence(error)))
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="oscar-supervisor", description="Runs a user's script for one event.")
    parser.add_argument("--version", action="version", version=f"oscar-supervisor {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="run")
    run = commands.add_parser(
        "run",
        help="run one event: fetch its input, run the script, put the results, answer on stdout",
        description="Run one event. Without --job and --service, the service is read as OSCAR's containers have it: "
        "/oscar/config/function_config.yaml or FUNCTION_CONFIG, /oscar/config/script.sh or SCRIPT.",
    )
    run.add_argument("--event", default="-", metavar="FILE", help="where the event is; - is stdin, and the default")
    service = run.add_mutually_exclusive_group()
    service.add_argument("--service", type=Path, metavar="FILE", help="a service file with one service in it")
    service.add_argument("--job", type=Path, metavar="FILE", help="a job document, which holds its event")
    run.add_argument("--script", type=Path, metavar="FILE", help="the script, whatever the service says")
    run.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="where oscar/ and var/ are, not in /")
    return parser


def _run_job_document(options: argparse.Namespace, signals: Signals) -> int:
    job = decode_job(read_file(options.job))
    if options.script is not None:
        job = msgspec.structs.replace(job, script=_script(options.script))
    _set_level(job.log_level)
    child = ChildProcessRunner(GRACE_S)
    return run_job(job, child, child, signals, to_stdout)


def _run_event(options: argparse.Namespace, signals: Signals) -> int:
    service = _service(options)
    _set_level(service.log_level)
    if service.execution_mode:
        _log.info("execution_mode %s has no effect: the script runs in this container", service.execution_mode)
    found = jobs_of(_event(options.event), service, options.root, datetime.now(UTC))
    child = ChildProcessRunner(GRACE_S)
    runner = OwnContainerRunner(child, os.environb, Path.cwd())
    return _run_all(found, child, runner, signals)


def _run_all(found: Jobs, child: ChildProcessRunner, runner: Runner, signals: Signals) -> int:
    for reason in found.ignored:
        _log.info("nothing to do for a record: %s", reason)
    for reason in found.refused:
        _log.critical("%s: %s", FailureClass.PERMANENT.value, one_line(reason))
    first_failure = FAILED if found.refused else 0
    for job in found.jobs:
        if signals.received:  # the results of the one before were on their way; this one is not begun
            return first_failure or signals.exit_code
        _log.info("event %s", _described(job))
        exit_code = run_job(job, child, runner, signals, to_stdout)
        first_failure = first_failure or exit_code
    return first_failure


def _event(where: str) -> bytes:
    if where != "-":
        return read_file(Path(where))
    if stdin_is_a_terminal():
        _log.info("reading the event from the terminal; Ctrl-D ends it")
    return read_stdin()


def _service(options: argparse.Namespace) -> ServiceFacts:
    if options.service is None:
        service = read_oscar_service(options.root, os.environ)
    else:
        from oscar_supervisor.service_file import read_service_file

        service, warnings = read_service_file(options.service)
        for warning in warnings:
            _log.warning("%s", warning)
        service = replace(service, log_level=os.environ.get("LOG_LEVEL") or service.log_level)
    return service if options.script is None else replace(service, script=_script(options.script))


def _script(path: Path) -> str:
    if (script := read_script(path)) is None:
        raise ConfigurationError(f"there is no script {path}")
    return script


def _set_level(level: str) -> None:
    level = level.upper()
    if level not in _LEVELS:
        _log.warning("log_level %r is none of %s; it is INFO", level, ", ".join(_LEVELS))
        level = "INFO"
    # NOTSET would be the root's, WARNING; who writes it means everything.
    logging.getLogger().setLevel(logging.DEBUG if level == "NOTSET" else level)


def _described(job: Job) -> str:
    if job.input is not None:
        return f"of {job.input.bucket}/{printable(job.input.key)} in {job.input.provider}"
    return (
        f"{job.event_id}, nothing to fetch" if speaks_of_object(job) else f"without an object, {len(job.event)} bytes"
    )


if __name__ == "__main__":
    sys.exit(main())
