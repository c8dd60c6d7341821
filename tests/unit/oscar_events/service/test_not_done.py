"""What a service asks for and does not get is said, once and only then."""

from __future__ import annotations

from typing import Any

import pytest

from oscar_events.service import Service, ignored_here
from tests.unit.oscar_events.service.mending import BLUR


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"memory": "1Gi"}, "memory"),
        ({"cpu": "2"}, "cpu"),
        ({"total_memory": "1Gi"}, "total_memory"),
        ({"total_cpu": "1"}, "total_cpu"),
        ({"ephemeral_storage_request": "1Gi"}, "ephemeral_storage_request"),
        ({"enable_gpu": True}, "enable_gpu"),
        ({"enable_sgx": True}, "enable_sgx"),
        ({"image_prefetch": True}, "image_prefetch"),
        ({"synchronous": {"min_scale": 1}}, "synchronous"),
        ({"federation": {"members": [{"type": "oscar"}]}}, "federation"),
        ({"alpine": True}, "alpine"),
        ({"image_pull_secrets": ["a"]}, "image_pull_secrets"),
        ({"expose": {"api_port": 80}}, "expose"),
        ({"annotations": {"a": "b"}}, "annotations"),
        ({"vo": "vo.example.eu"}, "vo"),
        ({"labels": {"a": "b"}}, "labels"),
        ({"interlink_node_name": "hpc"}, "interlink_node_name"),
        ({"visibility": "restricted"}, "visibility"),
        ({"allowed_users": ["a"]}, "allowed_users"),
        ({"isolation_level": "USER"}, "isolation_level"),
        ({"mount": {"storage_provider": "minio", "path": "b"}}, "mount"),
        ({"volume": {"size": "1Gi", "mount_path": "/d"}}, "volume"),
        ({"kserve": {"type": "llm_inference", "storage_uri": "hf://m"}}, "kserve"),
        ({"dispatch": {"backend": "kubernetes"}}, "dispatch.backend"),
    ],
)
def test_what_is_asked_for_in_vain_is_named(fields: dict[str, Any], key: str) -> None:
    (sentence,) = ignored_here(Service.from_document({**BLUR, **fields}))
    assert sentence.startswith(f"{key}: kept, and not done here: ")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"memory": "256Mi", "cpu": "0.2"},  # what OSCAR would give to whoever asks for nothing
        {"expose": {"api_port": [0], "min_scale": 1}},  # not exposed in OSCAR either
        {"federation": {"topology": "none"}},
        {"visibility": "public", "isolation_level": "SERVICE", "log_level": "DEBUG", "file_stage_in": True},
        {"environment": {"secrets": {"A": "b"}}, "dispatch": {"expire": "1h"}},
    ],
)
def test_what_is_done_or_asks_for_nothing_is_not(fields: dict[str, Any]) -> None:
    assert ignored_here(Service.from_document({**BLUR, **fields})) == ()
