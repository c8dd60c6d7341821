"""What applying a service finds out about the storage it names."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oscar_events.errors import ServiceError
from oscar_events.manager.buckets import LaptopBuckets
from oscar_events.service import Service


def service(provider: str, **providers: Any) -> Service:
    return Service.from_document(
        {
            "name": "blur",
            "image": "busybox",
            "script": "true",
            "input": [{"storage_provider": provider, "path": "pics/in"}],
            "storage_providers": providers,
        }
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def buckets(root: Path, *providers: str) -> LaptopBuckets:
    """Return the storage of a laptop whose config.yaml defines these providers."""
    aliases = {"minio.default": "local.default"} if "minio.default" not in providers else {}
    return LaptopBuckets(root, lambda: datetime.now(UTC), aliases, providers)


def test_a_name_of_the_cluster_is_a_directory_here_and_is_told(root: Path) -> None:
    (told,) = buckets(root).check(service("minio"))
    assert told == f"input[0]: minio.default is the directory {root}/pics/in here"
    buckets(root).make(service("minio"))
    assert (root / "pics" / "in").is_dir()


def test_a_provider_that_the_platform_defines_is_remote_and_gets_no_directory(root: Path) -> None:
    assert buckets(root, "minio.default").check(service("minio")) == []
    buckets(root, "minio.default").make(service("minio"))
    assert list(root.iterdir()) == []


def test_a_provider_that_the_service_defines_is_known_and_said_not_to_be_listed(root: Path) -> None:
    (told,) = buckets(root).check(service("s3.mine", s3={"mine": {"region": "eu"}}))
    assert told.startswith("input[0]: s3.mine is defined in the service file alone and is not listed")
    assert buckets(root, "s3.mine").check(service("s3.mine", s3={"mine": {"region": "eu"}})) == []


def test_a_provider_that_nobody_defines_is_refused_with_what_to_write(root: Path) -> None:
    with pytest.raises(ServiceError, match=r"s3\.mine is not defined; define it under `storage_providers: \{s3:"):
        buckets(root).check(service("s3.mine"))


def test_storage_of_a_type_that_runs_cannot_use_yet_is_kept_and_told(root: Path) -> None:
    (told,) = buckets(root).check(service("onedata.one", onedata={"one": {"space": "s"}}))
    assert told == "input[0]: onedata.one is kept; runs cannot use storage of the type onedata yet and will fail"
