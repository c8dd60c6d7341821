"""What a user defines: an image, a script, where inputs come from and where results go.

In:  one service document (a mapping, OSCAR's keys and our `dispatch:` block), the script inlined.
Out: a `Service`, immutable and canonical: two spellings of one service are equal and have equal documents.
Not here: files and YAML (fdl.py), which events start it (matching.py), whether its image or provider exists.

Unknown keys are errors under `dispatch:`, which is ours; elsewhere they are ignored as OSCAR does, and `unknown_keys`
names them, so that a newer file still loads and a misspelt key does not go unseen.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from oscar_events.errors import ServiceError

LOG_LEVELS = ("NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# A Knative service and a Job are named after it: DNS labels (RFC 1035) that start with a letter. 39 is OSCAR's limit.
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,37}[a-z0-9])?")
_PROVIDER = re.compile(r"(?P<type>[a-z][a-z0-9]*)(?:\.(?P<id>[A-Za-z0-9][A-Za-z0-9_.-]*))?")
# S3's rule for buckets; a folder as a bucket may be shorter and have capitals, as people's folders do, but no dot in
# front: such names are ours and hidden ones.
_S3_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FOLDER_BUCKET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_BUCKETS = {"local": _FOLDER_BUCKET, "minio": _S3_BUCKET, "s3": _S3_BUCKET}
_OWN_BUCKET_TYPES = frozenset({"minio", "s3"})

_DURATION = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?P<unit>[smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = timedelta(days=366)  # more is a typing error, and keeps sums of times far from the calendar's end


def _wrong(what: str, fix: str) -> PydanticCustomError:
    return PydanticCustomError("service", "{what}; {fix}", {"what": what, "fix": fix})


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = None if isinstance(value, bool) else _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise _wrong(f"{reprlib.repr(value)} is no duration", "write seconds, or a number with s, m, h or d, like 90s")
    seconds = float(match["number"]) * _SECONDS[match["unit"]]
    if seconds > _LONGEST.total_seconds():
        raise _wrong(f"{reprlib.repr(value)} is longer than a year", f"write at most {_LONGEST.days}d")
    return timedelta(seconds=seconds)


def _above_zero(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise _wrong("a duration of 0 or less", "write a duration above 0, like 90s")
    return value


def _seconds(value: timedelta) -> int | float:
    seconds = value.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(_seconds)]
PositiveDuration = Annotated[Duration, AfterValidator(_above_zero)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _utf8(value: str) -> str:
    """Half a surrogate pair, which JSON and YAML can spell, has no bytes: no key, file or variable can hold it."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _wrong(f"{reprlib.repr(value)} is no valid Unicode", "write it without half surrogate pairs") from error
    return value


Text = Annotated[str, AfterValidator(_utf8)]
Affixes = Annotated[tuple[Text, ...], BeforeValidator(_listed)]
Count = Annotated[int, Field(strict=True, ge=1)]


class _Block(BaseModel):
    """A mapping of the service document. A key without a value (`output:`) counts as absent, as in OSCAR."""

    # Input is hidden because it may be a secret, and an error that is a cause ends up in logs.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, document: object) -> object:
        if not isinstance(document, Mapping):
            return document
        return {key: value for key, value in document.items() if value is not None or key not in cls.model_fields}


class RetrySettings(_Block):
    """How a service wants its failures treated.

    max_attempts: tries in total for the user's own failures, 1 = never again (OSCAR's behaviour): a script that said
        no says no again. Failures of the infrastructure are nobody's fault and are tried until max_age.
    backoff: wait before the second try: long enough for a restarted pod or store to be back, short enough to watch.
    max_age: counted from the first submit, so that a full queue never expires what did not run; a day outlasts a
        night without an operator.
    """

    model_config = ConfigDict(extra="forbid")

    max_attempts: Count = 1
    backoff: Duration = timedelta(seconds=10)
    max_age: PositiveDuration = timedelta(hours=24)


class Dispatch(_Block):
    """Our block of the service document: how runs are dispatched.

    timeout: for the script alone. OSCAR has none; here a script that hangs must not hold its slot for ever, and a day
        is so long that few services need to set it.
    concurrency: runs of this service at a time; None = no limit of its own, only the platform's.
    """

    model_config = ConfigDict(extra="forbid")

    timeout: PositiveDuration = timedelta(hours=24)
    retry: RetrySettings = RetrySettings()
    concurrency: Count | None = None


class StorageIO(_Block):
    """A place objects come from or go to.

    storage_provider: `<type>.<id>`, the type in lower case; `minio` alone is `minio.default`.
    path: bucket, then folder, without slashes at its ends.
    prefix, suffix: OR within each, AND between, on the key relative to the folder; empty = any. On outputs as in OSCAR,
        on inputs too (OSCAR ignores them there).
    """

    storage_provider: str
    path: Text
    prefix: Affixes = ()
    suffix: Affixes = ()

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

    @field_validator("storage_provider")
    @classmethod
    def _canonical_provider(cls, value: str) -> str:
        kind, dot, name = value.strip().partition(".")
        match = _PROVIDER.fullmatch(kind.lower() + dot + name)
        if match is None:
            raise _wrong(f"{reprlib.repr(value)} is no provider", "write <type> or <type>.<id>, like minio.default")
        return f"{match['type']}.{match['id'] or 'default'}"

    @field_validator("path")
    @classmethod
    def _canonical_path(cls, value: str, info: ValidationInfo) -> str:
        path = value.strip(" /")
        if not path:
            raise _wrong("the path is empty", "write <bucket>/<folder>, like pics/in")
        if "\0" in path or any(segment in ("", ".", "..") for segment in path.split("/")):
            raise _wrong(f"the path {reprlib.repr(value)} has an empty segment, '.', '..' or NUL", "write it without")
        kind = info.data.get("storage_provider", "").partition(".")[0]
        names_bucket = "/" in path or kind not in _OWN_BUCKET_TYPES
        bucket = path.partition("/")[0]
        if names_bucket and kind in _BUCKETS and not _BUCKETS[kind].fullmatch(bucket):
            raise _no_bucket(bucket, kind)
        return path


def _in_own_bucket(place: StorageIO, service: str) -> StorageIO:
    """Return the place with the bucket OSCAR 4.1 gives to a MinIO or S3 path without one: the service's name."""
    if "/" in place.path or place.provider_type not in _OWN_BUCKET_TYPES:
        return place
    if not _S3_BUCKET.fullmatch(service):
        raise _no_bucket(service, place.provider_type)
    return place.model_copy(update={"path": f"{service}/{place.path}"})


def _no_bucket(name: str, kind: str) -> PydanticCustomError:
    rule = "3 to 63 lower-case letters, digits, '-' and '.', no sign at its ends"
    if kind == "local":
        rule = "1 to 63 letters, digits, '_', '-' and '.', no dot in front"
    return _wrong(f"{reprlib.repr(name)} cannot name a bucket", f"write <bucket>/<folder> with a bucket of {rule}")


def _variable(value: object) -> object:
    """Scalars as a shell script expects them; YAML made `true` and dates out of text."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float | date) else value


class Environment(_Block):
    """What the script finds in its environment, beside OSCAR's own variables."""

    variables: dict[Text, Annotated[Text, BeforeValidator(_variable)]] = {}

    @field_validator("variables")
    @classmethod
    def _can_be_set(cls, variables: dict[str, str]) -> dict[str, str]:
        for name, value in variables.items():
            if not name or "=" in name or "\0" in name + value:
                raise _wrong(f"{reprlib.repr(name)} cannot be set", "a name has no '=', and neither side a NUL")
        return variables


class Service(_Block):
    """A user's service. storage_providers: type -> id -> settings, kept as written."""

    name: str
    image: Text
    script: Text
    input: tuple[StorageIO, ...] = ()
    output: tuple[StorageIO, ...] = ()
    environment: Environment = Environment()
    storage_providers: dict[str, dict[str, dict[str, JsonValue]]] = {}
    log_level: str = "INFO"
    dispatch: Dispatch = Dispatch()

    @classmethod
    def from_document(cls, document: object, prefix: str = "") -> Self:
        """Return the service a document describes.

        prefix: written before the field's path in errors, like `blur.yaml: functions.oscar[0].laptop.`
        Raises ServiceError for the first field that is wrong; it names the others.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise _service_error(error, prefix) from error

    def document(self) -> dict[str, Any]:
        """Return the canonical JSON-able form, every default written out; `from_document` gives an equal service."""
        return self.model_dump(mode="json")

    @field_validator("name")
    @classmethod
    def _dns_label(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise _wrong(
                f"{reprlib.repr(value)} cannot name a service",
                "write 1 to 39 lower-case letters, digits and '-', a letter first, no '-' last",
            )
        return value

    @field_validator("image")
    @classmethod
    def _one_word(cls, value: str) -> str:
        image = value.strip()
        if len(image.split()) != 1:
            raise _wrong(
                f"{reprlib.repr(value)} is no image", "write a container image, like docker.io/library/busybox"
            )
        return image

    @field_validator("script")
    @classmethod
    def _unix_lines(cls, value: str) -> str:
        if not value.strip():
            raise _wrong("the script is empty", "write the commands to run for each input")
        return value.replace("\r\n", "\n").replace("\r", "\n")

    @field_validator("input", "output")
    @classmethod
    def _name_buckets(cls, places: tuple[StorageIO, ...], info: ValidationInfo) -> tuple[StorageIO, ...]:
        name = info.data.get("name")
        return places if name is None else tuple(_in_own_bucket(place, name) for place in places)

    @field_validator("log_level", mode="before")
    @classmethod
    def _known_level(cls, value: object) -> str:
        level = str(value).upper()
        return level if level in LOG_LEVELS else "INFO"


def unknown_keys(block: BaseModel, document: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the path of every key of the document that the block, read from it, has no field for."""
    for key, value in document.items():
        if key not in type(block).model_fields:
            yield f"{prefix}{key}"
            continue
        read = getattr(block, key)
        if isinstance(read, BaseModel) and isinstance(value, Mapping):
            yield from unknown_keys(read, value, f"{prefix}{key}.")
        elif isinstance(read, tuple) and isinstance(value, list):
            for index, (item, written) in enumerate(zip(read, value, strict=True)):
                if isinstance(item, BaseModel):
                    yield from unknown_keys(item, written, f"{prefix}{key}[{index}].")


_EXPECTED = {
    "model_type": "write a mapping of keys to values",
    "dict_type": "write a mapping of keys to values",
    "tuple_type": "write a list",
    "string_type": "write text, in quotes where YAML would make something else of it",
    "int_type": "write a whole number",
}
# Values of these may be secrets and are never repeated.
_CONFIDENTIAL = frozenset({"environment", "storage_providers"})


def _service_error(error: ValidationError, prefix: str) -> ServiceError:
    first, *others = error.errors(include_url=False)
    where = (prefix + _field_path(first["loc"])).rstrip(".: ") or "service"
    what, fix = _explained(first)
    also = ", ".join(dict.fromkeys(_field_path(other["loc"]) for other in others))
    return ServiceError(where, what, f"{fix} (also wrong: {also})" if also else fix)


def _explained(error: ErrorDetails) -> tuple[str, str]:
    kind, loc = error["type"], error["loc"]
    if kind == "service":
        return error["ctx"]["what"], error["ctx"]["fix"]
    if kind == "missing":
        return "is missing", f"add `{loc[-1]}:`"
    if kind == "extra_forbidden":
        return "is not known", f"accepted here: {', '.join(_accepted(loc))}"
    found = error["input"]
    shown = f"a {type(found).__name__}" if loc and loc[0] in _CONFIDENTIAL else reprlib.repr(found)
    return f"found {shown}", _EXPECTED.get(kind, error["msg"].removeprefix("Input "))


def _accepted(loc: tuple[int | str, ...]) -> list[str]:
    block: Any = Service
    for field in loc[:-1]:
        block = block.model_fields[field].annotation
    return sorted(block.model_fields)


def _field_path(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")
