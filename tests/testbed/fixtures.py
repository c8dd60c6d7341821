"""The servers as fixtures; tests/conftest.py makes them known to every test.

In:  pytest. Out: `minio`, one server per session; `new_bucket`, a bucket of its own name.
Not here: servers that a test kills or gives an environment (it starts its own with minio.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.testbed.minio import MinioServer, running_minio
from tests.testbed.minio_build import CannotBuildError, minio_binary


@pytest.fixture(scope="session")
def minio_here() -> Path:
    """Return MinIO's binary; without one the test is skipped with the reason, and fails where CI has to have it."""
    try:
        return minio_binary()
    except CannotBuildError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def minio(minio_here: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    with running_minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(scope="session")
def new_bucket(minio: MinioServer) -> Callable[[str], str]:
    """Return what makes a bucket nobody else has: word -> its name."""
    numbers = count(1)

    def make(word: str) -> str:
        bucket = f"{word}-{next(numbers)}"
        minio.client.make_bucket(bucket)
        return bucket

    return make
