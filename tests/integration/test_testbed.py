"""The testbed leaves nothing behind, however a test run ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.acceptance.platform import until
from tests.testbed.bound import start_bound
from tests.testbed.builds import CannotBuildError
from tests.testbed.fixtures import _need

# A test run in short: it starts a server, sees that it is up, and is killed before any fixture ends.
KILLED_RUN = """\
import os, signal, subprocess, sys
from pathlib import Path
{start}
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
START = {
    "a command": """\
from tests.testbed.bound import start_bound
server = start_bound(["/bin/sh", "-c", "echo up; exec sleep 1000"], stdout=subprocess.PIPE)
assert server.stdout.readline() == b"up\\n"
""",
    "a platform": """\
from tests.acceptance.platform import RunningPlatform
platform = RunningPlatform(Path(sys.argv[1]))
platform.start()
server = platform.process
""",
}


@pytest.mark.parametrize("what", START)
def test_a_server_dies_with_a_test_run_that_is_killed(what: str, tmp_path: Path) -> None:
    if shutil.which("setpriv") is None:
        assert os.environ.get("CI") != "true", "CI has to have setpriv"
        pytest.skip("only setpriv binds a process to another")
    command = [sys.executable, "-c", KILLED_RUN.format(start=START[what]), str(tmp_path / "data")]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
    assert run.returncode == -signal.SIGKILL
    server = int(run.stdout)
    until(lambda: not is_running(server), "the server is gone")


def test_a_server_outlives_the_thread_that_had_it_started() -> None:
    started: list[subprocess.Popen[bytes]] = []
    threads: list[int] = []

    def start() -> None:
        threads.append(threading.get_native_id())
        server = start_bound(["/bin/sh", "-c", "echo up; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert server.stdout is not None
        assert server.stdout.readline() == b"up\n"  # only now it is bound
        started.append(server)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    until(lambda: not Path(f"/proc/self/task/{threads[0]}").exists(), "the kernel is through with the thread")
    assert started[0].communicate(b"still here")[0] == b"still here"


def is_running(process: int) -> bool:
    """Return whether it is there and no zombie, which it may stay where nobody reaps orphans."""
    try:
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b") ")[2][:1] != b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), (None, pytest.skip.Exception)], ids=["in CI", "elsewhere"]
)
def test_a_server_that_cannot_be_had_fails_in_ci_and_skips_elsewhere_with_the_reason(
    ci: str | None, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build() -> Path:
        raise CannotBuildError("there is no compiler")

    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    with pytest.raises((pytest.fail.Exception, pytest.skip.Exception), match="there is no compiler") as found:
        _need(build)
    assert found.type is outcome


def test_a_server_that_can_be_had_is(tmp_path: Path) -> None:
    assert _need(lambda: tmp_path) == tmp_path
