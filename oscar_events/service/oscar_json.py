"""A service as OSCAR 4.1 says it in JSON: its keys, in its order, left out where it leaves them out.

In:  a service, and what the platform adds to an answer. Out: a mapping that OSCAR's clients read.
Not here: hiding secrets (secrets.py), our own canonical form (`Service.document`).

Order and what is left out follow OSCAR's Go structs, since clients cut texts out of the JSON between two keys
(reference/clients.md §2.2, rules 19 and 20). Where OSCAR writes null for an empty list or map, this writes `[]` and
`{}`: every client reads those. `kserve.set_auth` and `max_scale` are always written: OSCAR leaves false and 0 out, and
reads true and 1 into the gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oscar_events.service.model import Service

_ORDER = (
    *("name", "cluster_id", "memory", "cpu", "total_memory", "total_cpu", "ephemeral_storage_request"),
    *("enable_gpu", "enable_sgx", "image_prefetch", "synchronous", "federation", "log_level", "image", "alpine"),
    *("token", "file_stage_in", "input", "output", "script", "image_pull_secrets", "expose", "environment"),
    *("annotations", "vo", "labels", "storage_providers", "clusters", "owner", "namespace", "interlink_node_name"),
    *("visibility", "allowed_users", "isolation_level", "bucket_list", "mount", "volume", "volume_status"),
    *("deployment", "kserve"),
)
# Left out where they hold nothing, by the block they are in.
_OMITTED = {
    "": (
        *("federation", "image_pull_secrets", "storage_providers", "clusters", "namespace"),
        *("volume", "deployment", "kserve"),
    ),
    "federation": ("delegation", "rescheduler_threshold", "members"),
    "input": ("suffix", "prefix"),
    "output": ("suffix", "prefix"),
    "mount": ("suffix", "prefix", "options"),
    "expose": ("api_port", "nodePort", "auth_type", "probe_mode"),
    "volume": ("name", "lifecycle_policy"),
    "kserve": ("inference", "llm_inference", "min_scale", "args", "env", "enable_gpu"),
    "inference": ("runtime",),
    "llm_inference": ("runtime_image",),
}
# OSCAR's structs for these have an order of their own.
_PROVIDER_TYPES = ("s3", "minio", "onedata", "webdav", "rucio")
_NO_MOUNT = {"storage_provider": "", "path": ""}


@dataclass(frozen=True, slots=True)
class Standing:
    """What the platform adds to a service in an answer. deployment: None where it was not asked for."""

    token: str = ""
    owner: str = ""
    namespace: str = ""
    bucket_list: tuple[str, ...] = ()
    volume_status: Mapping[str, Any] = field(default_factory=lambda: {"enabled": False})
    deployment: Mapping[str, Any] | None = None


def oscar_document(service: Service, standing: Standing | None = None) -> dict[str, Any]:
    """Return the service as OSCAR answers it; secrets as they stand in the service.

    `Service.from_document` of it gives the same service, apart from `dispatch`.
    """
    standing = standing or Standing()
    said = {
        **service.document(),
        "token": standing.token,
        "owner": standing.owner,
        "namespace": standing.namespace,
        "bucket_list": list(standing.bucket_list),
        "volume_status": dict(standing.volume_status),
        "deployment": standing.deployment and dict(standing.deployment),
    }
    if service.mount is None:
        said["mount"] = _NO_MOUNT
    providers = said["storage_providers"]
    known = [kind for kind in _PROVIDER_TYPES if kind in providers]
    said["storage_providers"] = {kind: providers[kind] for kind in dict.fromkeys([*known, *providers])}
    written = _without_empty("", {key: said[key] for key in _ORDER})
    assert isinstance(written, dict)
    return written


def _without_empty(block: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_without_empty(block, item) for item in value]
    if not isinstance(value, Mapping):
        return value
    omitted = _OMITTED.get(block, ())
    return {key: _without_empty(key, inner) for key, inner in value.items() if inner or key not in omitted}
