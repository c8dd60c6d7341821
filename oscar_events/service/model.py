"""What a user defines: an image, a script, where inputs come from and where results go.

In:  one service document (a mapping, OSCAR's keys and our `dispatch:` block), the script inlined.
Out: a `Service`, immutable and canonical: two spellings of one service are equal and have equal documents.
Not here: files and YAML (fdl.py), other spellings of keys (spelling.py), OSCAR's own JSON (oscar_json.py), which events
start it (matching/), whether its image or provider exists.

Fields stand in OSCAR's order, ours last. Of OSCAR's, those are missing that it writes over whatever a client says
(token, owner, namespace, bucket_list, volume_status, deployment): they are the answer's, not the user's, and an answer
that is sent back must not be another service. Other unknown keys are ignored as OSCAR does; `unknown_keys` names them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator

from oscar_events.mistakes import Write, service_error, shown, wrong
from oscar_events.service.amounts import Cpu, CpuOrNone, Memory, MemoryOrNone
from oscar_events.service.block import Block, Names, Scalar, Text, as_dns_label, choice
from oscar_events.service.dispatch import Dispatch
from oscar_events.service.environment import Environment
from oscar_events.service.federation import Federation
from oscar_events.service.serving import Expose, Kserve, Synchronous, Volume, absent_if_zero
from oscar_events.service.spelling import respelled
from oscar_events.service.storage import Cluster, Mount, StorageIO, StorageProviders, in_own_bucket

LOG_LEVELS = ("NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Below these keys values may be secrets and are never repeated in an error. Variables are not: secrets have their own.
CONFIDENTIAL = frozenset({"secrets", "storage_providers", "clusters", "headers"})

# OSCAR's limit.
_LONGEST_NAME = 39
# A Knative service and a Job are named after it: DNS labels (RFC 1035) that start with a letter.
_NAME = re.compile(rf"[a-z](?:[a-z0-9-]{{0,{_LONGEST_NAME - 2}}}[a-z0-9])?")
# What OSCAR gives a service that asks for nothing (reference/oscar.md §1.1).
MEMORY, CPU = "256Mi", "0.2"


class Service(Block):
    """A user's service.

    memory, cpu: limits of a run. total_memory, total_cpu: of all its runs at a time; empty = none.
    file_stage_in: true means that the input is *not* fetched, as in OSCAR.
    mount: None where OSCAR answers a mount of empty strings.
    """

    name: Annotated[str, Field(examples=["my-service"])]
    cluster_id: Text = ""
    memory: Memory = MEMORY
    cpu: Cpu = CPU
    total_memory: MemoryOrNone = ""
    total_cpu: CpuOrNone = ""
    ephemeral_storage_request: MemoryOrNone = ""
    enable_gpu: bool = False
    enable_sgx: bool = False
    image_prefetch: bool = False
    synchronous: Synchronous = Synchronous()
    federation: Federation | None = None
    log_level: str = "INFO"
    image: Annotated[Text, Field(examples=["docker.io/library/busybox"])]
    alpine: bool = False
    file_stage_in: bool = False
    input: tuple[StorageIO, ...] = ()
    output: tuple[StorageIO, ...] = ()
    script: Text
    image_pull_secrets: Names = ()
    expose: Expose = Expose()
    environment: Environment = Environment()
    annotations: dict[Text, Scalar] = Field(default_factory=dict)
    vo: Text = ""
    labels: dict[Text, Scalar] = Field(default_factory=dict)
    storage_providers: StorageProviders = Field(default_factory=dict)
    clusters: dict[Text, Cluster] = Field(default_factory=dict)
    interlink_node_name: Text = ""
    visibility: Annotated[str, BeforeValidator(choice("private", "public", "restricted"))] = "private"
    allowed_users: Names = ()
    isolation_level: Annotated[str, BeforeValidator(choice("", "SERVICE", "USER"))] = ""
    mount: Annotated[Mount | None, BeforeValidator(absent_if_zero)] = None
    volume: Volume | None = None
    kserve: Kserve | None = None
    dispatch: Dispatch = Dispatch()

    @classmethod
    def from_document(cls, document: object, prefix: str = "") -> Self:
        """Return the service a document describes, in whatever spelling.

        prefix: written before the field's path in errors, like `blur.yaml: functions.oscar[0].laptop.`
        Raises ServiceError for the first field that is wrong; it names the others.
        """
        try:
            return cls.model_validate(respelled(document, cls).document if isinstance(document, Mapping) else document)
        except ValidationError as error:
            raise service_error(error, cls, prefix, CONFIDENTIAL) from error

    def document(self) -> dict[str, Any]:
        """Return the canonical JSON-able form, every default written out; `from_document` gives an equal service."""
        return self.model_dump(mode="json")

    @field_validator("name")
    @classmethod
    def _dns_label(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            meant = (as_dns_label(re.sub(r"^[^A-Za-z]+", "", value), _LONGEST_NAME)) or ""
            raise wrong(
                shown(value),
                f"a name of 1 to {_LONGEST_NAME} lower-case letters, digits and '-', a letter first, no '-' last",
                Write(meant) if _NAME.fullmatch(meant) else None,
            )
        return value

    @field_validator("memory", "cpu", mode="before")
    @classmethod
    def _as_oscar_fills_in(cls, value: object, info: ValidationInfo) -> object:
        return value if value != "" else {"memory": MEMORY, "cpu": CPU}[str(info.field_name)]

    @field_validator("image")
    @classmethod
    def _one_word(cls, value: str) -> str:
        image = value.strip()
        if len(image.split()) != 1:
            raise wrong(shown(value), "a container image, like docker.io/library/busybox")
        return image

    @field_validator("script")
    @classmethod
    def _unix_lines(cls, value: str) -> str:
        if not value.strip():
            raise wrong("an empty script", "the commands to run for each input")
        return value.replace("\r\n", "\n").replace("\r", "\n")

    @field_validator("federation")
    @classmethod
    def _name_group(cls, value: Federation | None, info: ValidationInfo) -> Federation | None:
        if value is None or value.group_id or "name" not in info.data:
            return value
        return value.model_copy(update={"group_id": info.data["name"]})

    @field_validator("input", "output")
    @classmethod
    def _name_buckets(cls, places: tuple[StorageIO, ...], info: ValidationInfo) -> tuple[StorageIO, ...]:
        name = info.data.get("name")
        return places if name is None else tuple(in_own_bucket(place, name) for place in places)

    @field_validator("log_level", mode="before")
    @classmethod
    def _known_level(cls, value: object) -> str:
        level = str(value).upper()
        return level if level in LOG_LEVELS else "INFO"
