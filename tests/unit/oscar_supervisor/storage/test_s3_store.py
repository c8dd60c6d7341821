"""The one factory of obstore's stores."""

from __future__ import annotations

import re
from pathlib import Path

import oscar_supervisor.storage
from oscar_supervisor.storage.s3_settings import s3_settings
from oscar_supervisor.storage.s3_store import s3_store

AWS = {"type": "s3", "region": "eu-west-1", "access_key": "the-user", "secret_key": "the-secret"}


def test_every_store_has_its_time_limits() -> None:
    store = s3_store(s3_settings(AWS), "bucket")
    assert store.client_options is not None
    assert store.client_options["timeout"] == "2h"
    assert store.client_options["read_timeout"] == "30s"
    assert store.client_options["connect_timeout"] == "5s"
    assert store.retry_config is not None
    assert store.retry_config["retry_timeout"].total_seconds() == 180


def test_http_is_spoken_only_where_the_endpoint_says_so() -> None:
    for endpoint, allowed in {"http://host:9000": "true", "https://host": "false", "": "false"}.items():
        store = s3_store(s3_settings({**AWS, "endpoint": endpoint}), "bucket")
        assert store.client_options is not None
        assert str(store.client_options["allow_http"]) == allowed


def test_a_store_shows_no_secret() -> None:
    store = s3_store(s3_settings(AWS), "bucket")
    assert "the-secret" not in repr(store) + repr(store.config)


def test_nothing_else_builds_stores() -> None:
    root = Path(oscar_supervisor.storage.__path__[0]).parents[2]
    sources = [
        path
        for package in ("oscar_events", "ingest", "dispatcher", "supervisor")
        for path in (root / package).rglob("*.py")
    ]
    assert len(sources) > 100
    builders = {path.name for path in sources if re.search(r"\b(S3Store|from_url)\(", path.read_text())}
    assert builders == {"s3_store.py"}
