"""A store with a certificate: trusted by its authority, refused otherwise, taken unchecked where settings say so."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from oscar_events.job import InputObject
from oscar_supervisor.storage import s3_store
from oscar_supervisor.storage.port import StorageUnavailableError
from oscar_supervisor.storage.s3 import S3Storage
from tests.contracts.storage import go_on
from tests.testbed.certificates import make_certificates
from tests.testbed.minio import MinioServer
from tests.testbed.ports import free_port

# What the server says about the object that is not there: it was asked, so its certificate was taken.
ASKED = "NoSuchBucket"


@pytest.fixture(scope="module")
def certificates(openssl_here: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory as MinIO wants it, and the certificate of its authority in it as `ca.pem`."""
    directory = tmp_path_factory.mktemp("certificates")
    made = make_certificates(directory)
    made.key.rename(directory / "private.key")
    made.certificate.rename(directory / "public.crt")
    return directory


@pytest.fixture
def minio(minio_here: Path, certificates: Path, tmp_path: Path) -> Iterator[MinioServer]:
    server = MinioServer(tmp_path / "minio", {}, free_port(), certificates)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_store, "BRIDGED_S", 1.0)


def fetch(settings: dict[str, str], target: Path) -> None:
    with S3Storage(settings, "execution", 1) as storage:
        storage.fetch(InputObject(provider="minio.default", bucket="no-such", key=b"a"), os.fsencode(target), go_on)


def test_a_certificate_of_an_unknown_authority_is_refused_and_said(minio: MinioServer, tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError, match=r"its certificate is not trusted \(UnknownIssuer\)"):
        fetch(minio.settings, tmp_path / "target")


def test_an_authority_in_ssl_cert_file_is_trusted(
    minio: MinioServer, certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    with pytest.raises(StorageUnavailableError, match=ASKED):
        fetch(minio.settings, tmp_path / "target")


def test_verify_false_takes_any_certificate_and_warns(
    minio: MinioServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(StorageUnavailableError, match=ASKED):
        fetch(minio.settings | {"verify": "false"}, tmp_path / "target")
    assert f"certificate of 127.0.0.1:{minio.port} is not checked" in caplog.text
