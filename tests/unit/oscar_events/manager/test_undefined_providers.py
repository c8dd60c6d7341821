"""Sources of a storage that nobody defines are known, with the name that may be meant."""

from __future__ import annotations

import pytest
import structlog

from oscar_events.config import PlatformConfig, SourceConfig
from oscar_events.manager.undefined_providers import (
    Undefined,
    undefined_providers,
    warn_of_undefined_providers,
)
from oscar_events.notifications.port import Route
from oscar_events.service import Service

STORES = {"minio": {"default": {"endpoint": "http://store:9000"}}}


def config(provider: str) -> PlatformConfig:
    return PlatformConfig({"uploads": SourceConfig(Route(source="uploads", provider=provider), ())}, STORES)


@pytest.mark.parametrize(("provider", "meant"), [("minio.defualt", "minio.default"), ("onedata.x", "")])
def test_a_provider_nobody_defines_is_told_with_the_nearest_name(provider: str, meant: str) -> None:
    assert list(undefined_providers(config(provider), (), {})) == [Undefined("uploads", provider, meant)]


def test_what_the_configuration_a_service_or_an_alias_defines_is_known() -> None:
    own = {"minio": {"lab": {"endpoint": "http://lab:9000", "access_key": "a", "secret_key": "b"}}}
    service = Service.from_document({"name": "blur", "image": "x", "script": "true", "storage_providers": own})
    for provider in ("minio.default", "minio.lab", "local.default", "minio.other"):
        assert list(undefined_providers(config(provider), [service], {"minio.other": "local.default"})) == []


def test_the_log_says_so_at_the_start() -> None:
    with structlog.testing.capture_logs() as lines:
        warn_of_undefined_providers(config("minio.defualt"), {})
        warn_of_undefined_providers(config("minio.default"), {})
    [line] = lines
    assert (line["source"], line["provider"], line["meant"]) == ("uploads", "minio.defualt", "minio.default")
