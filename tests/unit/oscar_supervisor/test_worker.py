"""A worker as the dispatcher meets it: a real process, frames on its pipes, real scripts."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oscar_events.frames import (
    HEADER_BYTES,
    Ask,
    Cancel,
    Ended,
    FromWorker,
    Go,
    Run,
    Started,
    ToWorker,
    body_length,
    frame,
    from_worker,
)
from oscar_events.job import FailureClass, Job, Outcome
from oscar_supervisor.bounded_log import HEAD_BYTES, TAIL_BYTES
from tests.unit.oscar_supervisor.jobs import job

DEADLINE = 30.0  # of a wait that ends by itself in milliseconds, unless the worker is broken or the machine drowned
GRACE_S = 0.3  # instead of ten seconds: what is tested is the order of things


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Dialogue:
    """Talks to a worker."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        start = f"from oscar_supervisor.worker import main; main(grace_s={GRACE_S})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "ACCESS_TOKEN": "secret"},
        )
        assert self.process.stdin
        assert self.process.stdout
        self.orders, self.answers = self.process.stdin, self.process.stdout

    def say(self, message: ToWorker) -> None:
        self.orders.write(frame(message))

    def hear(self) -> FromWorker:
        return from_worker(self._read(body_length(self._read(HEADER_BYTES))))

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            assert select.select([self.answers], [], [], DEADLINE)[0], "the worker says nothing"
            chunk = self.answers.read(size - len(data))
            assert chunk, "the worker has gone"
            data += chunk
        return data

    def start(self, what: Job) -> None:
        """Let an attempt start."""
        self.say(Run(what, str(self.directory)))
        assert self.hear() == Ask(what.execution, what.attempt)
        self.say(Go(what.execution, what.attempt, True))

    def end(self) -> Ended:
        while not isinstance(message := self.hear(), Ended):
            assert isinstance(message, Started)
        return message

    def run(self, what: Job) -> Ended:
        self.start(what)
        return self.end()

    def close(self) -> None:
        self.orders.close()
        assert self.process.wait(DEADLINE) == 0
        self.answers.close()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Dialogue]:
    dialogue = Dialogue(tmp_path / "jobs" / "execution")
    yield dialogue
    dialogue.close()


def test_the_exit_code_is_the_scripts_whichever_it_is(worker: Dialogue) -> None:
    for code in range(256):
        report = worker.run(job(f"exit {code}", attempt=code + 1)).report
        assert (report.exit_code, report.attempt) == (code, code + 1)
        assert report.outcome is (Outcome.FAILED if code else Outcome.SUCCEEDED)
        assert report.failure is (FailureClass.USER if code else None)


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (signal.SIGSEGV, FailureClass.USER),  # the program is wrong
        (signal.SIGTERM, FailureClass.USER),
        (signal.SIGKILL, FailureClass.RESOURCE),  # nobody but the kernel does this to a program, for its memory
    ],
)
def test_a_script_that_a_signal_ended_says_which(worker: Dialogue, number: int, failure: FailureClass) -> None:
    report = worker.run(job(f"kill -{int(number)} $$")).report
    assert (report.exit_code, report.failure) == (128 + number, failure)


def test_the_script_starts_where_and_with_what_it_was_promised(worker: Dialogue) -> None:
    log = worker.run(job('cat; echo "$0|$PWD|$TMP_INPUT_DIR|$EVENT|${ACCESS_TOKEN-unset}|$(cat "$EVENT_FILE")"')).log
    script, cwd, inputs, event, token, event_file = log.decode().strip().split("|")
    files = worker.directory / "1"
    assert (script, cwd, inputs) == (f"{files}/script.sh", f"{files}/work", f"{files}/input")
    assert event == event_file == '{"Records": []}'
    assert token == "unset"


def test_after_the_end_only_the_log_and_an_empty_lock_are_left(worker: Dialogue) -> None:
    worker.run(job("echo hello; touch in-the-way; mkdir -p $TMP_OUTPUT_DIR/a/b"))
    assert {file.name: file.read_bytes() for file in worker.directory.iterdir()} == {"lock": b"", "log": b"hello\n"}


def test_stdout_and_stderr_are_one_log_in_their_order(worker: Dialogue) -> None:
    assert worker.run(job("echo one; echo two >&2; echo three")).log == b"one\ntwo\nthree\n"


def test_variables_that_no_process_can_be_given_are_permanently_wrong(worker: Dialogue) -> None:
    report = worker.run(job("true", environment={"LARGE": "x" * 200_000})).report
    assert (report.failure, report.exit_code) == (FailureClass.PERMANENT, None)


def test_the_log_of_a_running_script_can_be_read(worker: Dialogue, tmp_path: Path) -> None:
    worker.start(job(f"echo hello; until [ -e {tmp_path}/go ]; do sleep 0.01; done"))
    log = worker.directory / "log"
    until(lambda: log.exists() and log.read_bytes() == b"hello\n")
    (tmp_path / "go").touch()
    assert worker.end().log == b"hello\n"


def test_a_hundred_megabytes_of_output_keep_head_and_tail_and_little_memory(worker: Dialogue) -> None:
    log = worker.run(job("echo first; head -c 100000000 /dev/zero; echo; echo last")).log
    assert log.startswith(b"first\n")
    assert log.endswith(b"\nlast\n")
    assert HEAD_BYTES + TAIL_BYTES < len(log) < HEAD_BYTES + TAIL_BYTES + 100
    left_out = 100_000_000 + len(b"first\n\nlast\n") - HEAD_BYTES - TAIL_BYTES
    assert b"\n[... %d bytes of output left out ...]\n" % left_out in log
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak_kib < 64 * 1024  # an idle worker has 25 MiB


def test_a_script_that_takes_too_long_is_asked_to_end_first(worker: Dialogue) -> None:
    end = worker.run(job("trap 'echo bye; exit 0' TERM; while :; do sleep 0.01; done", timeout_s=0.3))
    assert (end.report.outcome, end.report.failure) == (Outcome.FAILED, FailureClass.RESOURCE)
    assert end.log.endswith(b"bye\n")


def test_a_script_that_does_not_listen_is_killed_after_its_grace(worker: Dialogue) -> None:
    begin = time.monotonic()
    end = worker.run(job("trap '' TERM; while :; do sleep 0.01; done", timeout_s=0.2))
    assert (end.report.exit_code, end.report.failure) == (128 + signal.SIGKILL, FailureClass.RESOURCE)
    assert time.monotonic() - begin >= 0.2 + GRACE_S


def test_a_script_that_stopped_itself_is_ended_all_the_same(worker: Dialogue) -> None:
    assert worker.run(job("kill -STOP $$", timeout_s=0.2)).report.failure is FailureClass.RESOURCE


def test_a_child_that_holds_the_output_open_does_not_delay_the_end_and_ends(worker: Dialogue) -> None:
    begin = time.monotonic()
    end = worker.run(job("sleep 60 & echo $!"))
    assert end.report.outcome is Outcome.SUCCEEDED
    assert time.monotonic() - begin < DEADLINE
    assert not is_alive(int(end.log))


def test_descendants_that_left_session_group_and_output_end_with_the_script(worker: Dialogue, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    escapee = f"exec env -i setsid sh -c 'echo $$ > {pid}; exec sleep 60' </dev/null >/dev/null 2>&1 3>&-"
    end = worker.run(job(f"( ( {escapee} ) & ) ; until [ -s {pid} ]; do sleep 0.01; done"))
    assert end.report.outcome is Outcome.SUCCEEDED
    assert not is_alive(int(pid.read_text()))


def test_without_permission_no_script_starts_and_the_worker_is_free_again(worker: Dialogue, tmp_path: Path) -> None:
    refused = job(f"touch {tmp_path}/ran")
    worker.say(Run(refused, str(worker.directory)))
    assert isinstance(worker.hear(), Ask)
    worker.say(Go("execution", 1, False))
    assert worker.run(job("echo next", attempt=2)).log == b"next\n"
    assert not (tmp_path / "ran").exists()


def test_an_answer_to_another_attempt_permits_nothing(worker: Dialogue) -> None:
    worker.say(Run(job("echo mine", attempt=2), str(worker.directory)))
    assert worker.hear() == Ask("execution", 2)
    worker.say(Go("execution", 1, True))
    worker.say(Go("execution", 2, False))
    assert worker.run(job("echo third", attempt=3)).log == b"third\n"


def test_cancel_ends_the_script_in_order(worker: Dialogue) -> None:
    worker.start(job("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done"))
    assert isinstance(worker.hear(), Started)
    until(lambda: (worker.directory / "log").exists())
    worker.say(Cancel("execution", 1))
    end = worker.end()
    assert (end.report.outcome, end.report.failure) == (Outcome.CANCELLED, None)
    assert end.log.startswith(b"up\n")
    assert end.log.endswith(b"bye\n")


def test_cancel_before_the_answer_starts_no_script(worker: Dialogue, tmp_path: Path) -> None:
    worker.say(Run(job(f"touch {tmp_path}/ran", timeout_s=5), str(worker.directory)))
    assert isinstance(worker.hear(), Ask)
    worker.say(Cancel("execution", 1))
    worker.say(Go("execution", 1, True))
    assert worker.end().report.outcome is Outcome.CANCELLED
    assert not (tmp_path / "ran").exists()


def test_cancel_of_an_earlier_attempt_is_not_for_this_one(worker: Dialogue) -> None:
    worker.run(job("true", attempt=1))
    worker.say(Cancel("execution", 1))
    assert worker.run(job("true", attempt=2)).report.outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("how", ["pipe closed", "terminated"])
def test_when_the_dispatcher_goes_the_script_ends_and_nothing_is_published(tmp_path: Path, how: str) -> None:
    worker = Dialogue(tmp_path / "execution")
    worker.start(
        job(f"trap '' TERM; (setsid sleep 60 & echo $! > {tmp_path}/pid); echo $$ >> {tmp_path}/pid; sleep 60")
    )
    until(lambda: (tmp_path / "pid").exists() and len((tmp_path / "pid").read_text().split()) == 2)
    if how == "pipe closed":
        worker.orders.close()
    else:
        worker.process.terminate()
    assert worker.process.wait(DEADLINE) == 0
    assert not any(is_alive(int(pid)) for pid in (tmp_path / "pid").read_text().split())
    assert worker.answers.read().count(b'"ended"') == 0
    worker.close()


def test_a_worker_that_waits_for_permission_goes_with_its_dispatcher(tmp_path: Path) -> None:
    worker = Dialogue(tmp_path / "execution")
    worker.say(Run(job(), str(worker.directory)))
    assert isinstance(worker.hear(), Ask)
    worker.close()


def test_the_script_itself_holds_the_lock(worker: Dialogue, tmp_path: Path) -> None:
    worker.start(job(f"until [ -e {tmp_path}/go ]; do sleep 0.01; done"))
    assert isinstance(worker.hear(), Started)
    with open(worker.directory / "lock") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (tmp_path / "go").touch()
        worker.end()
        worker.say(Run(job("true", attempt=2), str(tmp_path / "another")))
        assert isinstance(worker.hear(), Ask)  # so it is done with the first one
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        worker.say(Go("execution", 2, False))


def test_a_worker_waits_for_a_lock_that_is_taken(worker: Dialogue) -> None:
    worker.directory.mkdir(parents=True)
    with open(worker.directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        worker.say(Run(job(), str(worker.directory)))
        assert not select.select([worker.answers], [], [], 0.3)[0]
    assert isinstance(worker.hear(), Ask)


def test_the_supervisor_imports_nothing_heavy() -> None:
    show = "import sys, oscar_supervisor.worker, oscar_supervisor.storage.local; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"asyncio", "pydantic", "sqlalchemy", "starlette", "typer", "structlog", "logging"}
