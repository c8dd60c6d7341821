"""Services that answer requests, as OSCAR describes them: `synchronous`, `expose`, `kserve`, and managed volumes.

In:  those blocks (reference/oscar.md §1.5 to §1.7). Out: their fields, checked as OSCAR does.
Not here: doing any of it, which this platform does not yet (not_done.py says so to people).

Where OSCAR fills nothing in, nothing is filled in here: 0 and "" mean that its documented default applies.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from oscar_events.mistakes import Remove, Write, shown, wrong
from oscar_events.service.amounts import Cpu, Memory, MemoryOrNone, Percent, Port, Whole, amount
from oscar_events.service.block import Block, Scalar, Text, Texts, as_dns_label, choice, is_dns_label

# What OSCAR mounts into every container itself.
_RESERVED_PATHS = ("/oscar/config", "/oscar/bin")

Ports = Annotated[tuple[Port, ...], BeforeValidator(lambda value: [value] if isinstance(value, int | str) else value)]


def _not_below_min(most: int, info: ValidationInfo) -> int:
    least = info.data.get("min_scale", 0)
    if 0 < most < least:
        raise wrong(f"max_scale {most} below min_scale {least}", "0, or what is not below min_scale", Write(least))
    return most


# Beside a min_scale, which stands before it.
MaxScale = Annotated[Whole, AfterValidator(_not_below_min)]


class Synchronous(Block):
    """How many pods of a synchronous service there are. max_scale 0 = no limit."""

    min_scale: Whole = 0
    max_scale: MaxScale = 0


class Expose(Block):
    """A service that is always there and listens on ports.

    api_port: of the container; none, or 0 first = not exposed. nodePort: as many as api_port, 0 = any free one.
    OSCAR documents 1 to 10 pods, 80 % of CPU, health path `/` and probe mode `legacy` where nothing is written.
    """

    min_scale: Whole = 0
    max_scale: MaxScale = 0
    api_port: Ports = ()
    cpu_threshold: Percent = 0
    rewrite_target: bool = False
    nodePort: Ports = ()  # spelled as OSCAR's key
    default_command: bool = False
    set_auth: bool = False
    auth_type: Annotated[str, BeforeValidator(choice("", "basic", "forward"))] = ""
    health_path: Text = ""
    probe_mode: Annotated[str, BeforeValidator(choice("", "legacy", "direct"))] = ""

    @property
    def is_active(self) -> bool:
        """Whether OSCAR would expose it."""
        return bool(self.api_port) and self.api_port[0] != 0

    @field_validator("nodePort")
    @classmethod
    def _one_each(cls, value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        ports = info.data.get("api_port", ())
        # OSCAR up to 4.0 had one number for each and wrote 0 for none.
        if value == (0,) and not ports:
            return ()
        if value and "api_port" in info.data and len(value) != len(ports):
            as_many = [*value, *[0] * len(ports)][: len(ports)]
            expected = f"as many as in api_port: {len(ports)}; 0 is any free one"
            raise wrong(f"{len(value)} ports", expected, Write(as_many) if as_many else Remove())
        return value


class KserveInference(Block):
    """The model of an InferenceService."""

    model_format: Annotated[Text, Field(examples=["onnx"])]
    runtime: Text = ""

    @field_validator("model_format")
    @classmethod
    def _named(cls, value: str) -> str:
        if not value.strip():
            raise wrong("an empty model_format", "the format of the model, like onnx or sklearn")
        return value.strip()


class KserveLlm(Block):
    """The runtime of an LLMInferenceService; empty = OSCAR's own image."""

    runtime_image: Text = ""


class Kserve(Block):
    """A model served by KServe beside the service. set_auth: true unless said otherwise."""

    type: Annotated[str, BeforeValidator(choice("inference", "llm_inference"))]
    inference: KserveInference | None = None
    llm_inference: KserveLlm | None = None
    storage_uri: Annotated[Text, Field(examples=["s3://models/iris"])]
    api_version: Annotated[str, BeforeValidator(choice("v1", "v2"))] = "v1"
    min_scale: Whole = 0
    max_scale: Annotated[MaxScale, Field(validate_default=True)] = 1
    cpu: Cpu = "0.2"
    memory: Memory = "256Mi"
    args: Texts = ()
    env: dict[Text, Scalar] = Field(default_factory=dict)
    enable_gpu: bool = False
    set_auth: bool = True

    @field_validator("storage_uri")
    @classmethod
    def _given(cls, value: str) -> str:
        if not value.strip():
            raise wrong("an empty storage_uri", "where the model lies, like s3://models/iris")
        return value.strip()

    @model_validator(mode="after")
    def _one_kind(self) -> Kserve:
        other = "llm_inference" if self.type == "inference" else "inference"
        if self.type == "inference" and self.inference is None:
            raise wrong("type inference without `inference:`", "an `inference:` block with a model_format")
        if getattr(self, other) is not None:
            raise wrong(f"`{other}:` beside type {self.type}", f"`{self.type}:` only")
        return self


class Volume(Block):
    """A managed volume: made with the service if it has a size, else the one of that name is attached.

    lifecycle_policy: what becomes of a made one when the service is deleted; empty = OSCAR's default.
    """

    name: Text = ""
    size: MemoryOrNone = ""
    mount_path: Annotated[Text, Field(examples=["/data"])]
    lifecycle_policy: Annotated[str, BeforeValidator(choice("", "delete", "retain"))] = ""

    @field_validator("name")
    @classmethod
    def _dns_label(cls, value: str) -> str:
        if value and not is_dns_label(value):
            meant = as_dns_label(value)
            expected = "a name of 1 to 63 lower-case letters, digits and '-', no '-' at its ends"
            raise wrong(shown(value), expected, Write(meant) if meant else None)
        return value

    @field_validator("size")
    @classmethod
    def _positive(cls, value: str) -> str:
        if value and amount(value) <= 0:
            raise wrong(shown(value), "a size above 0, like 1Gi")
        return value

    @field_validator("mount_path")
    @classmethod
    def _of_its_own(cls, value: str) -> str:
        path = value.strip()
        if not path.startswith("/"):
            change = Write(f"/{path}") if path else None
            raise wrong(shown(value), "an absolute path, like /data", change)
        for reserved in _RESERVED_PATHS:
            inside, around = f"{path.rstrip('/')}/", f"{reserved}/"
            if inside.startswith(around) or around.startswith(inside):
                raise wrong(shown(value), f"a path that does not overlap OSCAR's own {reserved}")
        return path

    @field_validator("lifecycle_policy")
    @classmethod
    def _of_what_is_made(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("size") == "":
            raise wrong(f"{value} without a size", "a lifecycle_policy only beside a size", Remove())
        return value

    @model_validator(mode="after")
    def _made_or_named(self) -> Volume:
        if not self.size and not self.name:
            raise wrong("neither size nor name", "a size to make a volume, or the name of one to attach")
        return self


def absent_if_zero(value: Any) -> Any:
    """Return None for the zero value that OSCAR answers where nothing was set."""
    if isinstance(value, dict) and all(part in ("", None, [], {}) for part in value.values()):
        return None
    return value
