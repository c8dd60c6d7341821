"""A source that listens, in config.yaml: what it needs, and that each becomes one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from oscar_events.config import PlatformConfig, load_config
from oscar_events.datadir import DataDirectory
from oscar_events.errors import ConfigurationError
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_ingest.sources.configured import ConfiguredSources
from oscar_ingest.sources.listeners import listeners

STORE = "storage_providers: {minio: {default: {endpoint: 'http://127.0.0.1:1', access_key: a, secret_key: b}}}\n"


def configured(directory: Path, source: str, rest: str = STORE) -> PlatformConfig:
    config = directory / "config.yaml"
    config.write_text(f"sources: {{heard: {{type: minio_listen, {source}}}}}\n{rest}")
    config.chmod(0o600)
    return load_config(DataDirectory(directory))


def test_each_source_that_listens_is_one_and_takes_no_requests(tmp_path: Path) -> None:
    config = configured(tmp_path, "provider: minio")
    ledger = SqliteLedger(tmp_path / "ledger.db")
    (source,) = listeners(config, ledger, {})
    assert (source.trouble, source.ready.is_set()) == ("", False)
    assert ConfiguredSources(DataDirectory(tmp_path), config).find("heard") is None


@pytest.mark.parametrize(
    ("source", "rest", "said"),
    [
        ("provider: s3.default", STORE, "only MinIO can be listened to"),
        ("provider: minio.default, tokens: [0123456789abcdef]", STORE, "nobody sends to a source that listens"),
        ("provider: minio.default", "", "minio.default is not defined"),
        ("provider: minio.default, topic: t", STORE, "`type: kafka` beside"),
    ],
)
def test_what_a_source_that_listens_cannot_have_is_refused(tmp_path: Path, source: str, rest: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        configured(tmp_path, source, rest)


def test_without_its_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(tmp_path, "provider: minio.default")
    monkeypatch.delitem(sys.modules, "oscar_ingest.sources.minio_listen", raising=False)
    monkeypatch.setitem(sys.modules, "miniopy_async.api", None)
    with pytest.raises(ConfigurationError, match=r'pip install "oscar-events\[minio\]"'):
        listeners(config, SqliteLedger(tmp_path / "ledger.db"), {})
