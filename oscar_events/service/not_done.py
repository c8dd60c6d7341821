"""What of OSCAR's service files this platform keeps and does not do yet, in words.

In:  a service. Out: one sentence per thing it asks for in vain.
Not here: keys that mean nothing to anybody (`unknown_keys`), what is done instead (README).

A service asks for what differs from what it would get by asking for nothing. Runs are processes of one machine here,
with one user, so what a cluster gives (limits, devices, pods that wait) is not there to be given.
"""

from __future__ import annotations

from collections.abc import Callable

from oscar_events.service.model import CPU, MEMORY, Service

_LIMITS = "runs share the machine, and nothing limits one of them"
_IMAGES = "runs use no image"
_TENANTS = "everybody who may use this platform may use every service"

# Key, what asks for it, what happens instead; in OSCAR's order.
_FEATURES: tuple[tuple[str, Callable[[Service], bool], str], ...] = (
    ("memory", lambda one: one.memory != MEMORY, _LIMITS),
    ("cpu", lambda one: one.cpu != CPU, _LIMITS),
    ("total_memory", lambda one: bool(one.total_memory), "dispatch.concurrency bounds how many runs there are"),
    ("total_cpu", lambda one: bool(one.total_cpu), "dispatch.concurrency bounds how many runs there are"),
    ("ephemeral_storage_request", lambda one: bool(one.ephemeral_storage_request), _LIMITS),
    ("enable_gpu", lambda one: one.enable_gpu, "a run finds the devices the platform itself finds"),
    ("enable_sgx", lambda one: one.enable_sgx, "a run finds the devices the platform itself finds"),
    ("image_prefetch", lambda one: one.image_prefetch, _IMAGES),
    (
        "synchronous",
        lambda one: bool(one.synchronous.min_scale or one.synchronous.max_scale),
        "no run waits for requests; events start each",
    ),
    ("federation", lambda one: bool(one.federation and one.federation.members), "no run goes to another cluster"),
    ("alpine", lambda one: one.alpine, _IMAGES),
    ("image_pull_secrets", lambda one: bool(one.image_pull_secrets), _IMAGES),
    ("expose", lambda one: one.expose.is_active, "nothing listens on its ports"),
    ("annotations", lambda one: bool(one.annotations), "there are no Kubernetes objects to put them on"),
    ("vo", lambda one: bool(one.vo), _TENANTS),
    ("labels", lambda one: bool(one.labels), "there are no Kubernetes objects to put them on"),
    ("interlink_node_name", lambda one: bool(one.interlink_node_name), "no run goes to another node"),
    ("visibility", lambda one: one.visibility == "restricted", _TENANTS),
    ("allowed_users", lambda one: bool(one.allowed_users), _TENANTS),
    ("isolation_level", lambda one: one.isolation_level == "USER", "no bucket is made for each user"),
    ("mount", lambda one: one.mount is not None, "the script finds nothing below /mnt"),
    ("volume", lambda one: one.volume is not None, "no volume is made, and the script finds nothing at its mount_path"),
    ("kserve", lambda one: one.kserve is not None, "no model is served"),
    ("dispatch.backend", lambda one: one.dispatch.backend != "process", "runs are processes of this machine"),
)


def ignored_here(service: Service) -> tuple[str, ...]:
    """Return a sentence for each thing the service asks for and this platform does not do."""
    return tuple(f"{key}: kept, and not done here: {instead}" for key, asked, instead in _FEATURES if asked(service))
