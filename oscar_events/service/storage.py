"""Where objects come from and go to, and how their stores are reached.

In:  the blocks `input[]`, `output[]`, `mount`, `storage_providers` and `clusters`. Out: places with canonical names.
Not here: whether a provider is configured or a bucket is there (manager/), reading and writing (the supervisor).
"""

from __future__ import annotations

import posixpath
import re
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from oscar_events.mistakes import Write, shown, wrong
from oscar_events.service.block import Block, Secret, Setting, Text, Texts

_PROVIDER = re.compile(r"(?P<type>[a-z][a-z0-9]*)(?:\.(?P<id>[A-Za-z0-9][A-Za-z0-9_.-]*))?")
# S3's rule for buckets; a folder as a bucket may be shorter and have capitals, as people's folders do, but no dot in
# front: such names are ours and hidden ones.
_S3_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FOLDER_BUCKET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_BUCKETS = {"local": _FOLDER_BUCKET, "minio": _S3_BUCKET, "s3": _S3_BUCKET}
_OWN_BUCKET_TYPES = frozenset({"minio", "s3"})
# What OSCAR lets through to rclone's command line (reference/oscar.md §3.8).
_MOUNT_OPTIONS = re.compile(r"[A-Za-z0-9\-_.:=,/ ]*")


def _canonical_provider(value: object) -> object:
    if not isinstance(value, str):
        return value
    kind, dot, name = value.strip().partition(".")
    match = _PROVIDER.fullmatch(kind.lower() + dot + name)
    if match is None:
        meant = _PROVIDER.fullmatch(kind.strip().lower()) if not name.strip() else None
        change = Write(f"{meant['type']}.default") if meant else None
        raise wrong(shown(value), "a provider, <type> or <type>.<id>, like minio.default", change)
    return f"{match['type']}.{match['id'] or 'default'}"


Provider = Annotated[str, BeforeValidator(_canonical_provider)]


class StorageIO(Block):
    """A place objects come from or go to.

    storage_provider: `<type>.<id>`, the type in lower case; `minio` alone is `minio.default`.
    path: bucket, then folder, without slashes at its ends.
    prefix, suffix: OR within each, AND between, on the key relative to the folder; empty = any. On outputs as in OSCAR,
        on inputs too (OSCAR ignores them there).
    """

    storage_provider: Annotated[Provider, Field(examples=["minio.default"])]
    path: Annotated[Text, Field(examples=["pics/in"])]
    suffix: Texts = ()
    prefix: Texts = ()

    @property
    def provider_type(self) -> str:
        """The technology: `minio` of `minio.default`."""
        return self.storage_provider.partition(".")[0]

    @property
    def bucket(self) -> str:
        """First segment of the path."""
        return self.path.partition("/")[0]

    @property
    def folder(self) -> str:
        """The path below the bucket; empty = the whole bucket."""
        return self.path.partition("/")[2]

    @field_validator("path")
    @classmethod
    def _canonical_path(cls, value: str, info: ValidationInfo) -> str:
        path = value.strip(" /")
        if not path:
            raise wrong("an empty path", "<bucket>/<folder>, like pics/in")
        segments = path.split("/")
        if "\0" in path or any(segment in ("", ".", "..") for segment in segments):
            plain = posixpath.normpath(f"/{path}").strip("/")  # what it would be on a disk, and not above the bucket
            change = Write(plain) if plain and "\0" not in path else None
            raise wrong(shown(value), "a path without empty segments, '.', '..' and NUL, like pics/in", change)
        kind = info.data.get("storage_provider", "").partition(".")[0]
        names_bucket = "/" in path or kind not in _OWN_BUCKET_TYPES
        bucket, slash, folder = path.partition("/")
        if names_bucket and kind in _BUCKETS and not _BUCKETS[kind].fullmatch(bucket):
            raise _no_bucket(bucket, kind, slash + folder)
        return path


class Mount(StorageIO):
    """A bucket mounted into the script's file system. options: words for rclone's command line."""

    options: Text = ""

    @field_validator("options")
    @classmethod
    def _harmless(cls, value: str) -> str:
        if not _MOUNT_OPTIONS.fullmatch(value):
            raise wrong(shown(value), "options of letters, digits, spaces and -_.:=,/ only")
        return value.strip()


def in_own_bucket(place: StorageIO, service: str) -> StorageIO:
    """Return the place with the bucket OSCAR 4.1 gives to a MinIO or S3 path without one: the service's name."""
    if "/" in place.path or place.provider_type not in _OWN_BUCKET_TYPES:
        return place
    if not _S3_BUCKET.fullmatch(service):
        raise _no_bucket(service, place.provider_type)
    return place.model_copy(update={"path": f"{service}/{place.path}"})


def _no_bucket(name: str, kind: str, below: str | None = None) -> PydanticCustomError:
    """Return the error; below: the rest of the path, None if the name is the service's and not in the path."""
    rule = "3 to 63 lower-case letters, digits, '-' and '.', no sign at its ends"
    if kind == "local":
        rule = "1 to 63 letters, digits, '_', '-' and '.', no dot in front"
    lowered = name if kind == "local" else name.lower()
    meant = re.sub(r"[^A-Za-z0-9_.-]+" if kind == "local" else r"[^a-z0-9.-]+", "-", lowered).strip("-.")[:63]
    change = Write(meant + below) if below is not None and _BUCKETS[kind].fullmatch(meant) else None
    found = f"the bucket {name!r}" if below is not None else f"a path without a bucket, and {name!r} for it"
    return wrong(found, f"<bucket>/<folder>, the bucket of {rule}", change)


class Cluster(Block):
    """Another OSCAR cluster, for delegated runs. ssl_verify: true unless said otherwise, as documented."""

    endpoint: Text = ""
    auth_user: Text = ""
    auth_password: Secret = ""
    ssl_verify: bool = True


# type -> id -> settings. Open, since each technology has its own; OSCAR's are in reference/oscar.md §1.3. Any setting
# may be a reference to a secret, since which ones let somebody in is the technology's business.
StorageProviders = dict[Text, dict[Text, dict[Text, Setting]]]
