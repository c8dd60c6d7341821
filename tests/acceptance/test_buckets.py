"""`oscar-events buckets`: MinIO, started once with the printed variables, tells what services want; nothing is lost.

The whole way with real programs: the command, MinIO with exactly the variables it printed, `oscar-events up`, scripts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from miniopy_async.credentials.providers import StaticProvider
from miniopy_async.minioadmin import MinioAdmin

from tests.acceptance.platform import until
from tests.acceptance.test_minio import TOKEN, PlatformOnAPort, configure, ended_with
from tests.benchmarks.figures import latency
from tests.testbed.minio import ACCESS_KEY, SECRET_KEY, MinioServer
from tests.testbed.ports import free_port

FAST, DURABLE = "arn:minio:sqs::OSCAR_FAST:webhook", "arn:minio:sqs::OSCAR_DURABLE:webhook"
# Between two uploads: so seldom that restarts of a busy machine see hundreds of them and not thousands.
PAUSE_S = 0.1


@dataclass
class PrintedMinio(MinioServer):
    """A server that a shell starts with the variables of a file, as its operator does. printed: that file."""

    printed: Path = Path("/dev/null")

    def run(self, command: Sequence[str | Path], *more: Any, **named: Any) -> None:
        reading: list[str | Path] = ["/bin/sh", "-c", 'set -a; . "$0"; set +a; exec "$@"', self.printed]
        super().run([*reading, *command], *more, **named)


@dataclass
class Scene:
    minio: PrintedMinio
    platform: PlatformOnAPort

    def buckets(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return self.platform.ask("buckets", *arguments)

    def told(self) -> list[dict[str, Any]]:
        """Return the rules at the server, as the command lists them."""
        listed = self.buckets("list", "--json")
        assert listed.returncode == 0, listed.stderr
        return list(json.loads(listed.stdout))

    def apply(self, name: str, *inputs: str, script: str = "true", **dispatch: object) -> None:
        file = self.platform.data.with_name(f"{name}.json")
        places = [{"storage_provider": "minio.default", "path": path} for path in inputs]
        service = {"name": name, "image": "busybox", "script": script, "input": places, "dispatch": dispatch}
        file.write_text(json.dumps(service))
        applied = self.platform.ask("apply", file)
        assert applied.returncode == 0, applied.stderr

    def told_by(self, source: str) -> dict[str, datetime]:
        """Return per key when this source told of it first, as the bus has it."""
        words = ("events", "--json", "--limit", "1000", "--source", source)
        rows = json.loads(self.platform.ask(*words).stdout)
        assert len(rows) < 1000, "there may be more"
        return {row["key"]: datetime.fromisoformat(row["recorded"]) for row in reversed(rows)}


class Uploads(threading.Thread):
    """Uploads, one after the other, until it is enough. begun: in their order, since when."""

    def __init__(self, minio: MinioServer) -> None:
        super().__init__()
        self.enough = threading.Event()
        self.begun: dict[str, datetime] = {}
        self._minio = minio

    def run(self) -> None:
        while not self.enough.wait(PAUSE_S):
            name = f"in/{len(self.begun)}"
            self.begun[name] = datetime.now(UTC)
            self._minio.client.put("pics", name.encode(), b"x")

    def some_more(self, number: int) -> list[str]:
        """Wait for so many that are begun from now on and have ended; return them."""
        start = len(self.begun)
        until(lambda: len(self.begun) > start + number or not self.is_alive(), "uploads go on")
        assert self.is_alive()
        return list(self.begun)[start : start + number]


@contextlib.contextmanager
def scene(directory: Path, sources: Sequence[str] = ("minio",)) -> Iterator[Scene]:
    """Run a platform, and a MinIO started with what `buckets watch --print-config` printed for it.

    sources: that MinIO sends to; of two, the fast target to the first.
    """
    data, port, minio_port = directory / "data", free_port(), free_port()
    configure(data, minio_port)
    config = data / "config.yaml"
    document = json.loads(config.read_text())
    document["sources"] = dict.fromkeys(sources, document["sources"]["minio"])
    config.write_text(json.dumps(document))
    token_file = directory / "the token"
    token_file.write_text(f"{TOKEN}\n")
    receivers = [word for name in sources for word in ("--source", name, "--token-file", token_file)]
    platform = PlatformOnAPort(data, port=port)
    with ended_with(platform), contextlib.ExitStack() as stack:
        platform.start()
        printed = platform.ask(
            *("buckets", "watch", "--print-config", *receivers, "--queue-dir", directory / "a queue")
        )
        assert printed.returncode == 0, printed.stderr
        assert TOKEN not in printed.stdout
        file = directory / "minio.env"
        file.write_text(printed.stdout)
        minio = PrintedMinio(directory / "minio", port=minio_port, printed=file)
        stack.callback(minio.stop)
        minio.start()
        for bucket in ("pics", "docs"):
            minio.client.make_bucket(bucket)
        yield Scene(minio, platform)


@pytest.fixture
def at(minio_here: Path, tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as at:
        yield at


@pytest.fixture(scope="module")
def idle(minio_here: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One for all tests that change nothing in it."""
    with scene(tmp_path_factory.mktemp("idle")) as at:
        yield at


def test_watched_inputs_are_told_by_both_targets_without_a_restart_and_each_upload_runs_once(at: Scene) -> None:
    process = at.minio.process
    at.apply("blur", "pics/in", "docs/new")
    watched = at.buckets("watch", "--all", "--json")
    assert watched.returncode == 0, watched.stderr
    created = [f"s3:ObjectCreated:{kind}" for kind in ("CompleteMultipartUpload", "Copy", "Post", "Put")]
    rules = [(rule["bucket"], rule["prefix"], sorted(rule["events"]), rule["target"]) for rule in at.told()]
    wanted = [("docs", "new/"), ("pics", "in/")]
    assert sorted(rules) == [(*place, created, arn) for place in wanted for arn in (DURABLE, FAST)]
    for bucket, key in (("pics", b"in/a"), ("docs", b"new/b"), ("docs", b"elsewhere/c")):
        at.minio.client.put(bucket, key, b"x")
    until(lambda: len(at.platform.runs("--state", "succeeded")) == 2, "both have run")

    def told_twice() -> bool:
        (seen,) = json.loads(at.platform.ask("why", "pics/in/a", "--json").stdout)["events"]
        return len(seen["seen"]) == 2

    until(told_twice, "the durable target has told of it as well")
    assert Counter(run["key"] for run in at.platform.runs()) == {"in/a": 1, "new/b": 1}
    assert at.minio.process is process


def test_watching_again_changes_nothing_and_a_later_service_adds_what_it_wants(at: Scene) -> None:
    at.apply("blur", "pics/in")
    assert at.buckets("watch", "pics").returncode == 0
    before = at.told()
    again = at.buckets("watch", "--all", "--json")
    assert {line["change"] for line in json.loads(again.stdout)} == {"unchanged"}
    assert at.told() == before
    at.apply("clean", "pics/in", event_types=["created", "removed"])
    planned = at.buckets("watch", "--all", "--dry-run", "--json")
    assert Counter(line["change"] for line in json.loads(planned.stdout)) == {"added": 2, "removed": 2}
    assert at.told() == before
    assert at.buckets("watch", "--all").returncode == 0
    assert all("s3:ObjectRemoved:Delete" in rule["events"] for rule in at.told())
    assert len(at.told()) == 2


def test_the_doctor_names_the_input_that_nobody_is_told_of_until_it_is_watched(at: Scene) -> None:
    at.apply("blur", "pics/in")

    def said() -> list[tuple[str, str]]:
        findings = json.loads(at.platform.ask("doctor", "--json").stdout)
        return [(one["level"], one["fix"]) for one in findings if one["check"] == "notifications"]

    ((level, fix),) = said()
    assert (level, fix) == ("warning", "oscar-events buckets watch pics --provider minio.default")
    assert at.buckets(*fix.split()[2:]).returncode == 0
    assert said() == [("ok", "")]


def test_rules_of_others_stay_as_they_are(at: Scene) -> None:
    at.minio.client.announce("pics", "OSCAR_FAST", "theirs/")
    (theirs,) = at.told()
    assert not theirs["ours"]
    assert at.buckets("watch", "pics", "--whole", "--target", DURABLE).returncode == 0
    assert [rule["target"] for rule in at.told() if rule["ours"]] == [DURABLE]
    assert theirs in at.told()
    gone = at.buckets("unwatch", "--all")
    assert gone.returncode == 0, gone.stderr
    assert at.told() == [theirs]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["watch", "nowhere", "--whole"], 3, "there is no such bucket"),
        (["watch", "pics", "--whole", "--target", "arn:minio:sqs::NOBODY:webhook"], 3, "knows no such target"),
        (["watch", "pics", "--provider", "minio.other"], 2, "define it, or choose with --provider"),
        (["watch", "--all"], 3, "no service takes inputs from minio.default"),
        (["watch"], 2, "no bucket is named; name some, or say --all"),
        (["watch", "pics", "--all"], 2, "either name buckets or say --all, not both"),
        (["watch", "--print-config"], 2, "a file on MinIO's machine with the token"),
        (["watch", "--print-config", "--source", "nobody", "--token-file", "/t"], 3, "no source 'nobody'"),
    ],
)
def test_what_is_wrong_is_said_with_its_remedy(idle: Scene, arguments: list[str], code: int, said: str) -> None:
    answered = idle.buckets(*arguments)
    assert (answered.returncode, answered.stdout) == (code, "")
    assert said in " ".join(answered.stderr.replace("\u2502", " ").split())
    assert idle.told() == []


def test_a_user_without_rights_is_told_which_one_is_missing(idle: Scene) -> None:
    user, secret = "a-reader", "a-readers-secret-key"
    admin = MinioAdmin(
        f"127.0.0.1:{idle.minio.port}", StaticProvider(ACCESS_KEY, SECRET_KEY), region="us-east-1", secure=False
    )

    async def make() -> None:
        await admin.user_add(user, secret)
        await admin.attach_policy(["readonly"], user)
        assert admin._session is not None
        await admin._session.close()

    asyncio.run(make())
    config = idle.platform.data / "config.yaml"
    right = config.read_text()
    config.write_text(right.replace(SECRET_KEY, secret).replace(ACCESS_KEY, user))
    try:
        refused = idle.buckets("watch", "pics", "--whole")
    finally:
        config.write_text(right)
    assert refused.returncode == 2
    assert "give it a policy that allows s3:GetBucketNotification" in refused.stderr
    assert idle.told() == []


def test_a_server_that_is_away_and_wrong_keys_are_told_apart(at: Scene) -> None:
    config = at.platform.data / "config.yaml"
    right = config.read_text()
    config.write_text(right.replace("the-testbeds-secret-key", "another-secret-key"))
    wrong = at.buckets("list")
    assert wrong.returncode == 2
    assert "refuses the keys (SignatureDoesNotMatch)" in wrong.stderr
    config.write_text(right)
    at.minio.stop()
    away = at.buckets("watch", "pics", "--whole")
    assert away.returncode == 5
    assert "the server is away" in away.stderr


@pytest.mark.usefixtures("minio_here")
def test_nothing_is_lost_and_nothing_runs_twice_while_the_receiver_is_killed_again_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scene(tmp_path, ("fast", "durable")) as at:
        at.apply("count", "pics/in")
        assert at.buckets("watch", "--all").returncode == 0
        uploads = Uploads(at.minio)
        uploads.start()
        lived, dead = [*uploads.some_more(20)], []
        try:
            for _ in range(3):
                at.platform.stop(signal.SIGKILL)
                dead.append(uploads.some_more(5))
                at.platform.start()
                lived += uploads.some_more(20)
        finally:
            uploads.enough.set()
            uploads.join()
        names = list(uploads.begun)
        until(lambda: len(at.platform.runs("--state", "succeeded")) == len(names), "all have run", 120)
        until(lambda: at.told_by("durable").keys() == set(names), "the durable target has told of all", 120)
        assert Counter(run["key"] for run in at.platform.runs()) == dict.fromkeys(names, 1)

        fast, durable = at.told_by("fast"), at.told_by("durable")
        assert all(set(some) - fast.keys() for some in dead), "each outage is one that the fast target lost events in"
        first = [name for name in lived if name in fast and fast[name] <= durable[name]]
        assert len(first) > len(lived) / 2
        seconds = [(fast[name] - uploads.begun[name]).total_seconds() for name in first]
        alone = len(names) - len(fast)
        with capsys.disabled():
            print(f"\n{len(names)} uploads, 3 kills, {alone} told by the durable target alone, 0 lost", file=sys.stderr)
            print(latency("upload begun -> on the bus by the fast one", seconds), file=sys.stderr)
