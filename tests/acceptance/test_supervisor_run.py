"""The real `oscar-supervisor run`, with the files and variables of a container of OSCAR, or a service file."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.platform import DEADLINE_S, until

COMMAND = Path(sys.executable).with_name("oscar-supervisor")
UPPER = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'
MIB = 1024 * 1024


def record(key: str, **fields: Any) -> dict[str, Any]:
    return {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "eventTime": "2026-11-21T04:30:27.946Z",
        "eventName": "s3:ObjectCreated:Put",
        "userIdentity": {"principalId": "AKIA-OF-THE-UPLOADER"},
        "s3": {"bucket": {"name": "pics"}, "object": {"key": key, "sequencer": "18E9F51C32EAEE80"}},
        **fields,
    }


def event_of(*keys: str) -> bytes:
    return json.dumps({"Records": [record(key) for key in keys]}).encode()


@dataclass
class Container:
    """What OSCAR's pod has: files below a root, variables, a directory; and buckets that are directories."""

    directory: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("root/oscar/config", "buckets/pics/in", "tmp", "work"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "staging").mkdir()
        self.service(output=[{"storage_provider": "local", "path": "pics/out"}])

    @property
    def buckets(self) -> Path:
        return self.directory / "buckets"

    @property
    def temporary(self) -> Path:
        return self.directory / "tmp"

    def service(self, **fields: Any) -> None:
        local = {"default": {"root": str(self.buckets), "staging": str(self.directory / "staging")}}
        document = {
            "name": "plants",
            "storage_providers": {"local": local},
            "input": [{"storage_provider": "local", "path": "pics/in"}],
            **fields,
        }
        # JSON is YAML; a comment makes sure that it is read as that.
        config = f"# as OSCAR's manager stores it\n{json.dumps(document)}\n"
        (self.directory / "root/oscar/config/function_config.yaml").write_text(config)

    def script(self, text: str) -> None:
        (self.directory / "root/oscar/config/script.sh").write_text(text)

    def command(self, *arguments: str | Path) -> list[str | Path]:
        return [COMMAND, "run", "--root", self.directory / "root", *arguments]

    def environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "TMPDIR": str(self.temporary), **self.variables}

    def run(self, event: bytes = b"", *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command(*arguments),
            input=event,
            capture_output=True,
            env=self.environment(),
            cwd=self.directory / "work",
            timeout=2 * DEADLINE_S,
        )

    def start(self, event: bytes = b"") -> subprocess.Popen[bytes]:
        """Start it with its event; the caller ends it."""
        (self.directory / "event").write_bytes(event)
        return subprocess.Popen(
            self.command("--event", self.directory / "event"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(),
            cwd=self.directory / "work",
        )

    def put(self, key: str, content: str = "meow") -> None:
        (self.buckets / "pics" / key).write_text(content)

    def results(self) -> dict[str, str]:
        out = self.buckets / "pics" / "out"
        return {str(file.relative_to(out)): file.read_text() for file in out.rglob("*") if file.is_file()}


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    container = Container(tmp_path)
    yield container
    assert list(container.temporary.iterdir()) == []  # whatever happened, nothing is left behind


def last_line(run: subprocess.CompletedProcess[bytes]) -> str:
    return run.stderr.decode().splitlines()[-1]


# What it is for


def test_an_event_on_stdin_is_run_and_its_result_put(container: Container) -> None:
    container.put("in/red flower+é%41.txt")
    container.script(UPPER)
    run = container.run(event_of("in%2Fred+flower%2B%C3%A9%2541.txt"))
    assert (run.returncode, run.stdout) == (0, b"\n")
    assert container.results() == {"red flower+é%41.txt": "MEOW"}


def test_the_service_and_the_script_may_come_in_variables(container: Container) -> None:
    container.put("in/a.txt")
    config = container.directory / "root/oscar/config/function_config.yaml"
    container.variables |= {
        "FUNCTION_CONFIG": base64.b64encode(config.read_bytes()).decode(),
        "SCRIPT": base64.b64encode(UPPER.encode()).decode(),
    }
    config.unlink()
    assert container.run(event_of("in/a.txt")).returncode == 0
    assert container.results() == {"a.txt": "MEOW"}


def test_a_service_file_of_ours_is_run_without_any_container(container: Container) -> None:
    container.put("in/a.txt")
    (container.directory / "upper.sh").write_text(UPPER)
    file = container.directory / "upper.yaml"
    file.write_text(
        f"""\
functions:
  oscar:
    - here:
        name: upper
        image: busybox
        script: upper.sh
        input: [{{storage_provider: local, path: pics/in}}]
        output: [{{storage_provider: local, path: pics/out}}]
        storage_providers: {{local: {{default: {{root: {container.buckets}}}}}}}
"""
    )
    run = container.run(event_of("in/a.txt"), "--service", file)
    assert run.returncode == 0, run.stderr
    assert container.results() == {"a.txt": "MEOW"}


def test_a_job_document_is_run_as_it_is(container: Container) -> None:
    container.variables["OF_THE_SHELL"] = "not passed on"
    document = {
        **dict.fromkeys(("instance", "execution", "nonce", "tenant", "service", "event_id"), "x"),
        "attempt": 1,
        "event_time": "2026-01-02T03:04:05Z",
        "timeout_s": 60,
        "script": 'echo "$OF_THE_SHELL" "$GIVEN"; cat "$INPUT_FILE_PATH"',
        "event": base64.b64encode(b'{"a":  1}').decode(),
        "stage_event": True,
        "environment": {"GIVEN": "given"},
    }
    file = container.directory / "job.json"
    file.write_text(json.dumps(document))
    run = container.run(b"ignored", "--job", file)
    assert (run.returncode, run.stdout) == (0, b' given\n{"a":  1}\n')


def test_the_script_finds_what_oscar_promises_and_no_configuration(container: Container) -> None:
    container.put("in/a.txt")
    container.variables |= {
        "JOB_UUID": "plants-0815",
        "RESOURCE_ID": "node-7",
        "OSCAR_SERVICE_TOKEN": "token",
        "OF_THE_IMAGE": "here",
        "EVENT": "of somebody else",
        "FUNCTION_CONFIG": base64.b64encode(b"name: secret").decode(),
    }
    container.script("env; echo cwd=$(pwd)\n")
    run = container.run(event_of("in/a.txt"))
    found = dict(line.partition("=")[::2] for line in run.stdout.decode().splitlines() if "=" in line)
    assert found["JOB_UUID"] == "plants-0815"
    assert found["RESOURCE_ID"] == "node-7"
    assert found["OSCAR_SERVICE_TOKEN"] == "token"
    assert found["OF_THE_IMAGE"] == "here"
    assert found["OSCAR_SERVICE_NAME"] == "plants"
    assert found["STORAGE_OBJECT_KEY"] == "in/a.txt"
    assert found["EVENT_TIME"].startswith("2026-11-21T04:30:27.946")
    assert json.loads(found["EVENT"]) == json.loads(event_of("in/a.txt"))
    assert found["INPUT_FILE_PATH"] == f"{found['TMP_INPUT_DIR']}/a.txt"
    assert found["TMP_OUTPUT_DIR"].startswith(str(container.temporary))
    assert found["cwd"] == str(container.directory / "work")  # the image's WORKDIR
    assert "FUNCTION_CONFIG" not in found


def test_an_event_larger_than_a_variable_is_in_the_file(container: Container) -> None:
    container.script('wc -c < "$EVENT_FILE"; echo "${EVENT-unset}"')
    run = container.run(json.dumps({"text": "x" * 200_000}).encode())
    assert run.stdout.split() == [b"200012", b"unset"]


def test_every_record_is_run_and_the_first_failure_is_told(container: Container) -> None:
    for name in "abc":
        container.put(f"in/{name}.txt", name)
    container.script(UPPER + 'grep -q b "$INPUT_FILE_PATH" && exit 7; exit 0')
    run = container.run(event_of("in/a.txt", "in/b.txt", "in/c.txt"))
    assert run.returncode == 7
    assert container.results() == {"a.txt": "A", "c.txt": "C"}


def test_outputs_are_chosen_by_prefix_and_suffix_as_upstream_tests_it(container: Container) -> None:
    # test_upload_output of faas-supervisor, its two stores being two folders of one.
    container.service(
        output=[
            {"storage_provider": "local", "path": "pics/out/all"},
            {"storage_provider": "local", "path": "pics/out/some", "prefix": ["result-"], "suffix": ["txt", "jpg"]},
        ]
    )
    container.script(
        'cd "$TMP_OUTPUT_DIR"; mkdir "\n"; '
        'touch file1.txt file1.jpg result-file.txt result-file.out file2.txt file2.out "\n/file3.out"\n'
    )
    assert container.run().returncode == 0
    results = set(container.results())
    assert len([name for name in results if name.startswith("all/")]) == 7
    assert "all/file3.out" in results
    assert {name for name in results if name.startswith("some/")} == {"some/result-file.txt"}


# Answers


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("echo out; echo err >&2", b"out\nerr\n\n"),
        ('echo not this; printf result > "$TMP_OUTPUT_DIR/r"', base64.b64encode(b"result") + b"\n"),
        ("true", b"\n"),
    ],
)
def test_a_message_is_answered_with_its_file_or_what_the_script_printed(
    container: Container, script: str, answer: bytes
) -> None:
    container.script(script)
    assert container.run(b'{"some": "body"}').stdout == answer


def test_several_files_are_answered_as_a_zip(container: Container) -> None:
    container.script('cd "$TMP_OUTPUT_DIR"; mkdir sub; echo a > a; echo b > sub/b')
    answer = container.run(b"hello").stdout
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(answer))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"a": b"a\n", "sub/b": b"b\n"}
    assert set(container.results()) == {"a", "sub/b"}  # put as well


def test_a_storage_event_is_answered_with_what_the_script_printed_whatever_files_it_made(container: Container) -> None:
    container.put("in/a.txt")
    container.script(f"{UPPER} echo printed")
    assert container.run(event_of("in/a.txt")).stdout == b"printed\n\n"


def test_output_of_any_size_is_answered_whole(container: Container) -> None:
    # Quadratic in OSCAR's supervisor: 8 MiB of lines take 4 minutes there; here the deadline of the command is enough.
    container.script(f"yes {'x' * 63} | head -c {8 * MIB}")
    assert len(container.run().stdout) == 8 * MIB + 1


# Failures


@pytest.mark.parametrize(
    ("script", "exit_code", "line"),
    [
        ("exit 3", 3, "user: the script ended with exit code 3"),
        ("if then", 2, "user: the script ended with exit code 2"),
        ("kill -9 $$", 137, "resource: the script was killed"),
        ("kill -11 $$", 139, "user: the script was ended by signal 11"),
    ],
)
def test_the_scripts_exit_code_is_the_commands_and_a_failure_publishes_nothing(
    container: Container, script: str, exit_code: int, line: str
) -> None:
    container.script(f'echo partial > "$TMP_OUTPUT_DIR/result"; echo why\n{script}')
    run = container.run(b"hello")
    assert (run.returncode, container.results()) == (exit_code, {})
    assert run.stdout.startswith(b"why\n") or b"yntax error" in run.stdout
    assert f" - supervisor - CRITICAL - {line}" in last_line(run)


def at_log_level(container: Container, level: str) -> Container:
    container.variables["LOG_LEVEL"] = level
    return container


@pytest.mark.parametrize(
    ("prepare", "event", "message"),
    [
        (lambda c: None, b"hello", "permanent: there is no script to run"),
        (lambda c: c.script("true"), event_of("in/missing.txt"), "permanent: the input pics/in/missing.txt is gone"),
        (
            lambda c: (c.script("true"), c.service(output=[{"storage_provider": "minio", "path": "out"}])),
            b"hello",
            "permanent: no access_key and no secret_key for the storage provider minio.default: mount",
        ),
        (
            lambda c: (c.script("true"), c.service(output=[{"storage_provider": "nowhere.x", "path": "out"}])),
            b"hello",
            "permanent: the service has no storage provider nowhere.x",
        ),
        (
            lambda c: (
                c.script("true"),
                c.service(storage_providers={"onedata": {"default": {"token": "t", "space": "s"}}}, input=[]),
            ),
            json.dumps(
                {
                    "Key": "/s/f.txt",
                    "Records": [
                        {
                            "objectKey": "f.txt",
                            "objectId": "1",
                            "eventTime": "2019-02-07T09:51:04.347823",
                            "eventSource": "OneTrigger",
                        }
                    ],
                }
            ).encode(),
            "onedata",
        ),
        (
            lambda c: (c.script("true"), (c.directory / "root/oscar/config/function_config.yaml").write_text("a: ]")),
            b"hello",
            "function_config.yaml, line 1: is no YAML",
        ),
        (lambda c: c.script("true"), b'{"Records": [{"eventSource": "minio:s3"}]}', "permanent: "),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line_at_every_log_level(
    container: Container, prepare: Any, event: bytes, message: str
) -> None:
    prepare(container)
    run = at_log_level(container, "CRITICAL").run(event)
    assert (run.returncode, run.stdout) == (1, b"")
    [line] = run.stderr.decode().splitlines()
    assert message in line


def test_an_event_too_large_is_refused(container: Container) -> None:
    container.script("true")
    (container.directory / "large").touch()
    os.truncate(container.directory / "large", 64 * MIB + 1)
    run = container.run(b"", "--event", container.directory / "large")
    assert run.returncode == 1
    assert "more than 67108864 bytes" in last_line(run)


def test_a_file_that_is_not_there_is_named(container: Container) -> None:
    missing = container.directory / "missing"
    for arguments in (("--event", missing), ("--script", missing), ("--job", missing), ("--service", missing)):
        run = container.run(b"", *arguments)
        assert run.returncode == 1
        assert str(missing) in last_line(run)


@pytest.mark.parametrize("arguments", [("--service", "a", "--job", "b"), ("--unknown",)])
def test_a_wrong_command_line_is_exit_code_2(container: Container, arguments: tuple[str, ...]) -> None:
    assert container.run(b"", *arguments).returncode == 2


def test_a_key_is_never_a_path(container: Container) -> None:
    outside = container.directory / "work" / "outside"
    outside.write_text("secret")
    container.script('cat "$INPUT_FILE_PATH"')
    for key in (f"{'../' * 20}{outside}", str(outside), "..%2F..%2Fwork%2Foutside"):
        run = container.run(event_of(key))
        assert run.returncode == 1
        assert b"secret" not in run.stdout


def test_a_links_target_outside_is_no_answer(container: Container) -> None:
    (container.directory / "work" / "outside").write_text("secret")
    container.script('ln -s "$PWD/outside" "$TMP_OUTPUT_DIR/link"; echo printed')
    run = container.run(b"hello")
    assert run.stdout == b"printed\n\n"
    assert b"'link' is a link" in run.stderr


# Logs


def test_logs_hold_no_event_and_no_key(container: Container) -> None:
    container.put("in/a.txt")
    container.script("true")
    container.service(
        output=[{"storage_provider": "minio.other", "path": "out"}],
        storage_providers={
            "local": {"default": {"root": str(container.buckets)}},
            "minio": {
                "other": {"access_key": "AK-CANARY", "secret_key": "SK-CANARY", "endpoint": "http://127.0.0.1:9"}
            },
        },
    )
    run = at_log_level(container, "DEBUG").run(event_of("in/a.txt"))
    assert b"pics/in/a.txt" in run.stderr
    for secret in (b"AK-CANARY", b"SK-CANARY", b"AKIA-OF-THE-UPLOADER"):
        assert secret not in run.stderr + run.stdout


def test_at_debug_the_scripts_lines_are_logged_as_they_come(container: Container) -> None:
    fifo = container.directory / "go"
    os.mkfifo(fifo)
    container.script(f"echo first; cat {fifo}; printf last")
    with at_log_level(container, "DEBUG").start() as run:
        assert run.stderr is not None
        while b"DEBUG - first" not in (line := run.stderr.readline()):
            assert line, "the first line is not logged while the script runs"
        fifo.write_bytes(b"second\n")
        output, errors = run.communicate(timeout=DEADLINE_S)
    assert output == b"first\nsecond\nlast\n"
    assert b"DEBUG - second" in errors
    assert b"DEBUG - last" in errors


def test_without_debug_stderr_holds_no_line_of_the_script(container: Container) -> None:
    container.script("echo printed")
    assert b"printed" not in container.run().stderr
    assert at_log_level(container, "CRITICAL").run().stderr == b""


def test_an_unknown_log_level_is_info_and_said(container: Container) -> None:
    container.script("true")
    run = at_log_level(container, "LOUD").run()
    assert run.returncode == 0
    assert b"WARNING - log_level 'LOUD' is none of" in run.stderr


# Signals


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_the_scripts_too_and_nothing_is_published(
    container: Container, number: signal.Signals, exit_code: int
) -> None:
    pids = container.directory / "pids"
    container.script(
        'echo partial > "$TMP_OUTPUT_DIR/result"\n'
        "trap 'echo said goodbye; exit 0' TERM\n"
        f"setsid sleep 1000 & echo $! $$ > {pids}.new; mv {pids}.new {pids}\n"
        "while true; do sleep 0.01; done"
    )
    with container.start(b"hello") as run:
        until(pids.exists, "the script runs")
        run.send_signal(number)
        output, errors = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == exit_code
    assert b"said goodbye" in output
    assert b"CRITICAL - cancelled" in errors
    assert container.results() == {}
    for pid in pids.read_text().split():
        assert not Path("/proc", pid).exists()


def test_a_signal_while_the_event_is_read_ends_it(container: Container) -> None:
    with subprocess.Popen(
        [COMMAND, "run", "--script", "/dev/null"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**container.environment(), "LOG_LEVEL": "wrong, so that it says that it runs"},
    ) as run:
        assert run.stderr is not None
        assert b"log_level" in run.stderr.readline()
        run.send_signal(signal.SIGTERM)
        assert run.wait(DEADLINE_S) == 143


def test_a_second_signal_kills_a_script_that_does_not_listen(container: Container) -> None:
    ready, told = container.directory / "ready", container.directory / "told"
    container.script(f"trap 'touch {told}' TERM; touch {ready}; while true; do sleep 0.01; done")
    with container.start(b"hello") as run:
        until(ready.exists, "the script runs")
        run.send_signal(signal.SIGTERM)
        until(told.exists, "the script was told")
        assert run.poll() is None
        run.send_signal(signal.SIGTERM)
        _, errors = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 143
    assert b"stopped by a second signal" in errors


def test_after_a_signal_no_further_record_is_run(container: Container) -> None:
    ready = container.directory / "ready"
    container.put("in/a.txt")
    container.put("in/b.txt")
    container.script(f'{UPPER}basename "$INPUT_FILE_PATH"; touch {ready}; sleep 1000')
    with container.start(event_of("in/a.txt", "in/b.txt")) as run:
        until(ready.exists, "the first record's script runs")
        run.send_signal(signal.SIGTERM)
        output, _ = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 143
    assert b"a.txt" in output
    assert b"b.txt" not in output
    assert container.results() == {}


def test_an_answer_nobody_reads_is_a_failure(container: Container) -> None:
    container.script(f"head -c {MIB} /dev/zero")
    with container.start() as run:
        assert run.stdout is not None
        run.stdout.close()
        assert run.stderr is not None
        assert b"BrokenPipeError" in run.stderr.read()
    assert run.returncode == 1
