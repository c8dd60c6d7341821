"""One attempt from its job to its report: stage in, run the script, stage out.

In:  a job, a directory for its files, a runner, what may interrupt it. Out: the report, and the script's log.
Not here: being allowed to start (worker.py), where the script runs (runner.py), what an error means (failures.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import msgspec

from oscar_events.errors import ConfigurationError, FencedError
from oscar_events.holder import LOCK_NAME, LOG_NAME
from oscar_events.job import FailureClass, Job, Outcome, OutputObject, Report
from oscar_events.paths import local_name, printable
from oscar_supervisor import failures
from oscar_supervisor.below import open_regular, open_root
from oscar_supervisor.desk import INPUT, OUTPUT, WORK, Desk, remove
from oscar_supervisor.environment import Places, script_environment
from oscar_supervisor.event_file import file_of
from oscar_supervisor.interruption import CancelRequestedError, Interruption
from oscar_supervisor.output_files import Found, find_files
from oscar_supervisor.outputs import place
from oscar_supervisor.runner import Command, Runner, ScriptEnd
from oscar_supervisor.storage.port import Storage
from oscar_supervisor.storage.table import open_storage

# Of what was passed over in TMP_OUTPUT_DIR the log names so many: enough to see a pattern, too few to bury the script.
_NAMED_IN_LOG = 20
# Outputs in a report: a script may make a million files, and a report is a value in the ledger and one frame of 4 MiB.
_REPORTED_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """What an attempt leaves: its report, and head and tail of what its script printed."""

    report: Report
    log: bytes


def run_attempt(
    job: Job,
    directory: Path,
    desk: Desk,
    runner: Runner,
    interruption: Interruption,
    on_start: Callable[[int, float], None],
) -> AttemptEnd:
    """Do the attempt and return how it ended; of its files only the log remains in the directory.

    Cancel is obeyed until stage-out begins; from there on the attempt runs to its true end. Raises AbandonedError;
    whatever else goes wrong is in the report.
    """
    end: ScriptEnd | None = None
    found = Found()
    published: list[OutputObject] = []
    outcome, failure, reason = Outcome.SUCCEEDED, None, ""
    files = directory / str(job.attempt)
    try:
        with ExitStack() as stack:
            _remove_earlier(directory)
            places = _lay_out(job, files, desk)
            storages = {name: stack.enter_context(_storage(job, name)) for name in _providers(job)}
            if job.input is not None and places.input is not None:
                storages[job.input.provider].fetch(job.input, places.input, lambda: _go_on(interruption))
            _go_on(interruption)
            end = runner.run(_command(job, directory, files, places), interruption, on_start)
            failures.check_script(end, job.timeout_s)
            _go_on(interruption)
            found = find_files(places.output_directory)
            _stage_out(job, places.output_directory, found, storages, interruption, published)
    except FencedError:
        raise
    except CancelRequestedError:
        outcome, reason = Outcome.CANCELLED, "cancelled"
    except Exception as error:  # noqa: BLE001 the worker outlives whatever an attempt does to it, and reports it
        outcome, failure, reason = Outcome.FAILED, failures.class_of(error), failures.sentence(error)
    finally:
        desk.clear(files)
    return AttemptEnd(_report(job, end, outcome, failure, reason, published), _log(end, found))


def _remove_earlier(directory: Path) -> None:
    """Remove what an attempt that was killed left behind."""
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            remove(entry)
        elif entry.name != LOCK_NAME:
            os.unlink(entry)


def _lay_out(job: Job, files: Path, desk: Desk) -> Places:
    if not job.script:
        raise ConfigurationError(f"the service {job.service} has no script")
    desk.set_up(files)
    input_directory, output_directory = files / INPUT, files / OUTPUT
    (files / "script.sh").write_bytes(os.fsencode(job.script))
    (files / "event").write_bytes(job.event)
    name = _input_name(job)
    source = None if name is None else os.path.join(os.fsencode(input_directory), name)
    if source is not None and job.stage_event:
        with open(source, "xb") as file:
            file.write(file_of(job.event))
    return Places(
        input=source,
        input_directory=input_directory,
        output_directory=output_directory,
        event=files / "event",
    )


def _input_name(job: Job) -> bytes | None:
    if job.stage_event:
        return f"event-file-{job.execution}".encode()  # OSCAR's name, with a name of its own for each run
    return local_name(job.input.key) if job.input else None


def _command(job: Job, directory: Path, files: Path, places: Places) -> Command:
    return Command(
        script=files / "script.sh",
        directory=files / WORK,
        environment=script_environment(job, places, os.environ, os.uname().nodename),
        timeout_s=job.timeout_s,
        log=directory / LOG_NAME,
    )


def _providers(job: Job) -> set[str]:
    return {output.provider for output in job.outputs} | ({job.input.provider} if job.input else set())


def _storage(job: Job, provider: str) -> Storage:
    return open_storage(provider, job.storage.get(provider), job.execution, job.hop_count + 1)


def _go_on(interruption: Interruption) -> None:
    if interruption.check():
        raise CancelRequestedError


def _stage_out(
    job: Job,
    directory: Path,
    found: Found,
    storages: Mapping[str, Storage],
    interruption: Interruption,
    published: list[OutputObject],
) -> None:
    """Put every output; what is there is in `published` also if a later one fails."""
    root = open_root(directory)
    try:
        for placement in place(found.files, job.outputs):
            file = open_regular(root, found.files[placement.file])
            try:
                size = storages[placement.provider].put(file, placement.bucket, placement.key, interruption.check)
            finally:
                os.close(file)
            published.append(
                OutputObject(
                    provider=placement.provider, bucket=placement.bucket, key=printable(placement.key), size=size
                )
            )
    finally:
        os.close(root)


def _report(
    job: Job,
    end: ScriptEnd | None,
    outcome: Outcome,
    failure: FailureClass | None,
    reason: str,
    published: list[OutputObject],
) -> Report:
    return Report(
        execution=job.execution,
        attempt=job.attempt,
        nonce=job.nonce,
        outcome=outcome,
        failure=failure,
        reason=reason,
        exit_code=end.exit_code if end else None,
        started_at=end.started_at if end else None,
        ended_at=end.ended_at if end else None,
        outputs=_reported(published),
    )


def _reported(published: list[OutputObject]) -> tuple[OutputObject, ...]:
    """Return the first outputs, as many as a report holds."""
    sizes = accumulate(len(msgspec.json.encode(output)) for output in published)
    return tuple(output for output, size in zip(published, sizes, strict=True) if size <= _REPORTED_BYTES)


def _log(end: ScriptEnd | None, found: Found) -> bytes:
    lines = [f"[not put: {what}]\n" for what in found.passed_over[:_NAMED_IN_LOG]]
    if (more := len(found.passed_over) - len(lines)) > 0:
        lines.append(f"[not put: {more} more]\n")
    return (end.log if end else b"") + "".join(lines).encode()
