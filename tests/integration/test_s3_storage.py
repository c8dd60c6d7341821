"""What only an S3 store does, against a real MinIO: versions, metadata, parts, odd keys, refusals."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oscar_events.errors import EventError
from oscar_events.job import FailureClass, InputObject
from oscar_supervisor import failures
from oscar_supervisor.storage.port import Checkpoint, InputUnusableError, Storage, StorageUnavailableError
from oscar_supervisor.storage.s3 import S3Storage
from oscar_supervisor.storage.s3_look import look_into
from tests.contracts.storage import StopNowError, go_on
from tests.testbed.minio import ACCESS_KEY, SECRET_KEY, MinioServer
from tests.testbed.s3_client import S3Error

MIB = 1024 * 1024


@pytest.fixture
def storage(minio: MinioServer) -> Iterator[S3Storage]:
    with S3Storage(minio.settings, "execution-of-it", 3) as storage:
        yield storage


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "staged-in"


def fetched(storage: Storage, pinned: InputObject, target: Path) -> bytes:
    storage.fetch(pinned, os.fsencode(target), go_on)
    return target.read_bytes()


def put(storage: Storage, result: Path, bucket: str, key: bytes, checkpoint: Checkpoint = go_on) -> int:
    with result.open("rb") as file:
        return storage.put(file.fileno(), bucket, key, checkpoint)


def file_of(path: Path, size: int) -> Path:
    """Make a file whose every MiB differs from the others."""
    with path.open("wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "big") * (MIB // 8))
        file.write(b"\xff" * (size % MIB))
    return path


def pin(bucket: str, key: bytes, **known: str | int) -> InputObject:
    return InputObject(provider="minio.default", bucket=bucket, key=key, **known)  # type: ignore[arg-type]


def test_a_result_says_which_execution_made_it_and_what_it_is(
    storage: S3Storage, minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path
) -> None:
    bucket = new_bucket("marks")
    put(storage, file_of(tmp_path / "small", 5), bucket, b"a.png")
    put(storage, file_of(tmp_path / "large", 17 * MIB), bucket, b"b.unheard-of")
    small, large = minio.client.get(bucket, b"a.png"), minio.client.get(bucket, b"b.unheard-of")
    assert small is not None
    assert large is not None
    assert [answer.headers["content-type"] for answer in (small, large)] == ["image/png", "application/octet-stream"]
    for answer in (small, large):
        assert answer.headers["x-amz-meta-oscar-events-execution"] == "execution-of-it"
        assert answer.headers["x-amz-meta-oscar-events-hops"] == "3"


def test_the_version_of_the_event_is_fetched_whatever_came_after_it(
    storage: S3Storage, minio: MinioServer, new_bucket: Callable[[str], str], target: Path
) -> None:
    bucket = new_bucket("versions")
    minio.client.keep_versions(bucket)
    first = minio.client.put(bucket, b"a", b"first")
    version = first.headers["x-amz-version-id"]
    minio.client.put(bucket, b"a", b"the second one")
    minio.client.remove(bucket, b"a")
    assert fetched(storage, pin(bucket, b"a", version=version, etag=first.etag, size=5), target) == b"first"
    minio.client.ask("DELETE", bucket, b"a", query={"versionId": version})
    with pytest.raises(InputUnusableError, match="is gone"):
        fetched(storage, pin(bucket, b"a", version=version, size=5), target)


@pytest.mark.parametrize("quoted", [False, True], ids=["bare", "quoted"])
def test_an_object_with_the_etag_of_the_event_is_fetched_and_another_of_its_size_is_not(
    storage: S3Storage, minio: MinioServer, new_bucket: Callable[[str], str], target: Path, quoted: bool
) -> None:
    bucket = new_bucket("etags")
    etag = minio.client.put(bucket, b"a", b"one").etag
    pinned = pin(bucket, b"a", etag=f'"{etag}"' if quoted else etag, size=3)
    assert fetched(storage, pinned, target) == b"one"
    minio.client.put(bucket, b"a", b"two")
    with pytest.raises(InputUnusableError, match="replaced after the event"):
        fetched(storage, pinned, target)


def test_an_event_that_knows_only_the_size_is_held_to_it(
    storage: S3Storage, minio: MinioServer, new_bucket: Callable[[str], str], target: Path
) -> None:
    bucket = new_bucket("sizes")
    minio.client.put(bucket, b"a", b"12345")
    assert fetched(storage, pin(bucket, b"a", size=5), target) == b"12345"
    with pytest.raises(InputUnusableError, match="replaced after the event"):
        fetched(storage, pin(bucket, b"a", size=4), target)


@pytest.mark.parametrize("size", [0, 1, 16 * MIB, 16 * MIB + 1, 100 * MIB + 7])
def test_a_file_of_any_size_goes_to_the_store_and_back(
    storage: S3Storage, minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path, target: Path, size: int
) -> None:
    bucket = new_bucket("there-and-back")
    result = file_of(tmp_path / "result", size)
    assert put(storage, result, bucket, b"a") == size
    storage.fetch(pin(bucket, b"a", size=size), os.fsencode(target), go_on)
    with result.open("rb") as sent, target.open("rb") as came:
        assert hashlib.file_digest(sent, "sha256").digest() == hashlib.file_digest(came, "sha256").digest()
    assert minio.unfinished_uploads() == []


def test_many_small_files_go_one_after_the_other(
    storage: S3Storage, minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path, target: Path
) -> None:
    bucket = new_bucket("many")
    for number in range(200):
        result = tmp_path / "result"
        result.write_text(str(number))
        put(storage, result, bucket, f"of/{number:03}".encode())
    assert minio.client.keys(bucket) == [f"of/{number:03}" for number in range(200)]
    assert [fetched(storage, pin(bucket, f"of/{number:03}".encode()), target) for number in range(200)] == [
        str(number).encode() for number in range(200)
    ]


class StopAt:
    """A checkpoint that raises the n-th time and from then on."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise StopNowError


# An upload of 80 MiB asks before each of its ten parts and after the last.
@pytest.mark.parametrize("number", [1, 2, 6, 11])
def test_an_upload_that_is_interrupted_leaves_nothing_behind(
    storage: S3Storage, minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path, number: int
) -> None:
    bucket = new_bucket("given-up")
    with pytest.raises(StopNowError):
        put(storage, file_of(tmp_path / "result", 80 * MIB), bucket, b"a", StopAt(number))
    assert minio.client.keys(bucket) == []
    assert minio.unfinished_uploads() == []


@pytest.mark.parametrize(
    "key",
    [
        b"a b+c%41&d=e?f#g.txt",
        b"back\\slash",
        b"{[<|>]}^`\"'*",
        b"colon:semi;at@comma,dollar$",
        b"trailing space /and a ",
        b".hidden/..twice/...",
        "right\u202eto left\u200d".encode(),
        "\U0001f600\ufffd".encode(),
        b"%2F%00",
        b"/".join([b"y" * 255] * 3),
    ],
)
def test_a_key_that_can_be_said_is_said_as_it_is(
    storage: S3Storage, minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path, target: Path, key: bytes
) -> None:
    bucket = new_bucket("zoo")
    put(storage, file_of(tmp_path / "result", 3), bucket, key)
    assert minio.client.keys(bucket) == [key.decode()]
    minio.client.put(bucket, key, b"from elsewhere")
    assert fetched(storage, pin(bucket, key, size=14), target) == b"from elsewhere"


# Keys that this server takes; each of them obstore would refuse, or say as another.
@pytest.mark.parametrize("key", [b"/lead", b"dir/", b"new\nline", b"tab\t", b"delete\x7f"])
def test_a_key_that_cannot_be_said_is_refused_and_no_other_object_is_touched(
    storage: S3Storage, minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path, target: Path, key: bytes
) -> None:
    bucket = new_bucket("unsayable")
    minio.client.put(bucket, key, b"1")
    before = minio.client.keys(bucket)
    with pytest.raises(EventError, match="cannot be addressed: it"):
        fetched(storage, pin(bucket, key), target)
    with pytest.raises(EventError, match="cannot be addressed: it") as refused:
        put(storage, file_of(tmp_path / "result", 3), bucket, key)
    assert failures.class_of(refused.value) is FailureClass.PERMANENT
    assert minio.client.keys(bucket) == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"secret_key": "another-secret-key-987"}, "SignatureDoesNotMatch.*`secret_key` must be mended"),
        ({"access_key": "another-user"}, "InvalidAccessKeyId.*`access_key` must be mended"),
        ({"session_token": "another-token"}, "InvalidTokenId.*`session_token` must be mended"),
    ],
)
def test_wrong_credentials_are_named_and_tried_again_until_somebody_mended_them(
    minio: MinioServer,
    new_bucket: Callable[[str], str],
    tmp_path: Path,
    target: Path,
    changed: dict[str, str],
    said: str,
) -> None:
    bucket = new_bucket("locked")
    minio.client.put(bucket, b"a", b"1")
    with S3Storage({**minio.settings, **changed}, "execution", 1) as storage:
        with pytest.raises(
            StorageUnavailableError, match=f"{bucket}/a: 127.0.0.1:{minio.port} said {said}"
        ) as fetching:
            fetched(storage, pin(bucket, b"a"), target)
        with pytest.raises(StorageUnavailableError, match=said) as putting:
            put(storage, file_of(tmp_path / "result", 3), bucket, b"b")
    for error in (fetching.value, putting.value):
        assert failures.class_of(error) is FailureClass.INFRASTRUCTURE
        assert error.__cause__ is not None
        told = failures.sentence(error) + repr(error.__cause__) + str(error.__cause__)
        assert not [secret for secret in (SECRET_KEY, *changed.values()) if secret in told]


def test_a_bucket_that_is_not_there_is_named_and_may_still_be_made(
    storage: S3Storage, minio: MinioServer, tmp_path: Path, target: Path
) -> None:
    with pytest.raises(StorageUnavailableError, match=r"no-such/a: .* NoSuchBucket: .*; the bucket must be made"):
        fetched(storage, pin("no-such", b"a"), target)
    with pytest.raises(StorageUnavailableError, match=r"no-such/b: .* NoSuchBucket") as refused:
        put(storage, file_of(tmp_path / "result", 20 * MIB), "no-such", b"b")
    assert failures.class_of(refused.value) is FailureClass.INFRASTRUCTURE


def test_the_environments_credentials_are_nobodys_unless_settings_say_so(
    minio: MinioServer, new_bucket: Callable[[str], str], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = new_bucket("ambient")
    minio.client.put(bucket, b"a", b"1")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "elses",
        "AWS_SESSION_TOKEN": "session",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_REGION": "eu-west-1",
        "AWS_SKIP_SIGNATURE": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with S3Storage(minio.settings, "execution", 1) as storage:
        assert fetched(storage, pin(bucket, b"a"), target) == b"1"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    ambient = {"type": "s3", "endpoint": minio.endpoint, "credentials": "ambient"}
    with S3Storage(ambient, "execution", 1) as storage:
        assert fetched(storage, pin(bucket, b"a"), target) == b"1"


def test_a_local_file_that_cannot_be_written_is_no_fault_of_the_store(
    storage: S3Storage, minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path
) -> None:
    bucket = new_bucket("local-fault")
    minio.client.put(bucket, b"a", b"1")
    with pytest.raises(FileNotFoundError, match="no-such-directory"):
        fetched(storage, pin(bucket, b"a"), tmp_path / "no-such-directory" / "a")


def test_the_client_of_these_tests_tells_errors(minio: MinioServer) -> None:
    with pytest.raises(S3Error) as told:
        minio.client.keys("no-such")
    assert told.value.code == "NoSuchBucket"


def test_a_bucket_that_can_be_used_is_told_from_one_that_cannot(
    minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("looked-into")
    look_into(minio.settings, bucket, 10)
    with pytest.raises(StorageUnavailableError, match="NoSuchBucket"):
        look_into(minio.settings, "no-such", 10)
    with pytest.raises(StorageUnavailableError, match="`secret_key` must be mended"):
        look_into({**minio.settings, "secret_key": "another-one"}, bucket, 10)
    with pytest.raises(StorageUnavailableError, match="Connection refused"):
        look_into({**minio.settings, "endpoint": "http://127.0.0.1:1"}, bucket, 1)


def test_a_store_that_is_silent_is_waited_for_as_long_as_was_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {"type": "minio", "endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with pytest.raises(StorageUnavailableError, match=r"did not answer within 0\.2 s"):
            look_into({**settings, "access_key": "user", "secret_key": "secret"}, "any", 0.2)


TRANSFER = """
import os, sys
from oscar_events.job import InputObject
from oscar_supervisor.storage.s3 import S3Storage
endpoint, access_key, secret_key, bucket, result = sys.argv[1:]
settings = {"type": "minio", "endpoint": endpoint, "access_key": access_key, "secret_key": secret_key}
with S3Storage(settings, "execution", 1) as storage:
    storage.put(os.open(result, os.O_RDONLY), bucket, b"a", lambda: None)
    storage.fetch(InputObject(provider="minio.default", bucket=bucket, key=b"a"), os.fsencode(result), lambda: None)
sys.exit(7)
"""


def test_a_process_that_moved_objects_ends_as_it_wants_to(
    minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path
) -> None:
    """With obstore's asynchronous calls two of five such processes ended by SIGABRT."""
    result = file_of(tmp_path / "result", 20 * MIB)
    arguments = [minio.endpoint, ACCESS_KEY, SECRET_KEY, new_bucket("ending"), str(result)]
    ends = [subprocess.run([sys.executable, "-c", TRANSFER, *arguments]).returncode for _ in range(10)]
    assert ends == [7] * 10
