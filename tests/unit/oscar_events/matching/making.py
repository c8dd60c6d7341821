"""Places and services in one line each."""

from __future__ import annotations

from typing import Any

from oscar_events.service import Service, StorageIO


def place(path: str, prefix: tuple[str, ...] = (), suffix: tuple[str, ...] = (), provider: str = "local") -> StorageIO:
    return StorageIO(storage_provider=provider, path=path, prefix=prefix, suffix=suffix)


def service(name: str, inputs: Any = (), outputs: Any = (), **dispatch: Any) -> Service:
    return Service(name=name, image="busybox", script="true", input=inputs, output=outputs, dispatch=dispatch)
