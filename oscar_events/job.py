"""The job document and the report: what one attempt is told, and what it answers.

In:  from the dispatcher, one `Job` per attempt. Out: from the supervisor, one `Report`, matched by execution, attempt
and nonce. Both as JSON bytes, the same for every backend (pipe, annotation, FIFO, HTTP).
Not here: how they travel (frames.py, the backends), what the ledger makes of a report (ledger/ends.py).

msgspec, not pydantic: the supervisor pays for what this module imports with every job (70 ms against 405 ms to start,
reference/libraries.md §0), and decoding refuses wrong types by itself.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TypeVar

import msgspec

from oscar_events.errors import ConfigurationError


class FailureClass(StrEnum):
    """Who has to do something about a failed attempt (design §3.8)."""

    USER = "user"  # the script said no: trying again changes nothing unless the service asks for it
    RESOURCE = "resource"  # out of time or memory: the same again would end the same
    INFRASTRUCTURE = "infrastructure"  # node, network, storage, a kill: nobody's fault, try again
    PERMANENT = "permanent"  # the input is gone or was never right


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class InputObject(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The object an attempt is for, pinned to the version the event spoke of.

    key: bytes, as stores other than S3 allow any. What is None is not known to the event and not checked.
    file_id: inode, folders only. modified_ns: modification time in ns since 1970, folders only.
    """

    provider: str
    bucket: str
    key: bytes
    size: int | None = None
    version: str | None = None
    etag: str | None = None
    file_id: str | None = None
    modified_ns: int | None = None


class Output(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where results go: files whose relative name passes prefix and suffix (OR within, AND between) are put there.

    folder: key prefix inside the bucket, without slashes at its ends; empty = the bucket's root.
    """

    provider: str
    bucket: str
    folder: str = ""
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ()


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt of one execution, complete: nothing else is looked up where it runs.

    instance: the ledger's uuid; whoever stops or deletes things touches only what carries it.
    nonce: fixed with the attempt's first lease; a report without it is not this attempt's.
    event: bytes of the original single-record body, as the script finds them in EVENT.
    event_attributes: the CloudEvents attributes offered beside it as CE_<NAME>.
    storage: settings of each provider named here, by provider id; `type` says which adapter reads the rest.
    environment: variables of the service. timeout_s: for the script alone, seconds.
    stage_event: the event's body itself is the input file: it came without an object (OSCAR's `/job` and `/run`).
    hop_count: of the event; results carry one more.
    """

    instance: str
    execution: str
    attempt: int
    nonce: str
    tenant: str
    service: str
    script: str
    event: bytes
    event_id: str
    event_time: str
    timeout_s: float
    event_attributes: dict[str, str] = {}
    input: InputObject | None = None
    outputs: tuple[Output, ...] = ()
    storage: dict[str, dict[str, str]] = {}
    environment: dict[str, str] = {}
    stage_event: bool = False
    hop_count: int = 0
    log_level: str = "INFO"
    schema: int = 1

    def spec_hash(self) -> str:
        """Return the SHA-256 that tells this attempt's specification from any other's (design §3.6)."""
        return hashlib.sha256(_sorted_encoder.encode(self)).hexdigest()


class OutputObject(msgspec.Struct, frozen=True, kw_only=True):
    """A result as it was put. key: text; what is not UTF-8 in it stands as backslash escapes."""

    provider: str
    bucket: str
    key: str
    size: int


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an attempt ended, in the words of whoever ran it. It decides; without it an attempt has not succeeded.

    failure: set iff outcome is failed. reason: one sentence for a person, empty on success.
    exit_code: the script's own, 128 + n if signal n ended it, None if it never ran. started_at, ended_at: of the
    script, seconds since 1970.
    """

    execution: str
    attempt: int
    nonce: str
    outcome: Outcome
    failure: FailureClass | None = None
    reason: str = ""
    exit_code: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    outputs: tuple[OutputObject, ...] = ()


_Document = TypeVar("_Document", Job, Report)
_sorted_encoder = msgspec.json.Encoder(order="sorted")


def encode(document: Job | Report) -> bytes:
    """Return the document as JSON bytes; byte fields in it are base64."""
    return msgspec.json.encode(document)


def decode_job(data: bytes) -> Job:
    """Return the job in data. Raises ConfigurationError naming the field that is wrong."""
    return _decode(data, Job)


def decode_report(data: bytes) -> Report:
    """Return the report in data. Raises ConfigurationError naming the field that is wrong."""
    return _decode(data, Report)


def _decode(data: bytes, kind: type[_Document]) -> _Document:
    try:
        document: _Document = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"not a {kind.__name__.lower()} document: {error}") from error
    return document
