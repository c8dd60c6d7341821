"""What `config.yaml` may say: its models, each with what a mistake is answered with.

In:  the file's document, variables put over it. Out: `File`, checked by itself; it has read no other file.
Not here: the sections that are settings (settings.py), what is made of it (config.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from oscar_events.event import DEFAULT_TENANT
from oscar_events.mistakes import Loc, Rename, Write, wrong
from oscar_events.notifications.port import FOLDER_SOURCE
from oscar_events.settings import KafkaSettings, Settings, kafka_contradictions

# 16 characters of base64 are 96 bits: nobody guesses one through a socket.
MIN_TOKEN = 16
# Two, so that one can be replaced without a moment in which none is accepted (reference/reliability.md §3.3).
MAX_TOKENS = 2

# A DNS label, as names in URLs and in metrics go.
_SOURCE_NAME = re.compile(r"[a-z0-9-]{1,63}")
# Kafka's rule for the names of topics; groups may be called anything, but people write them in commands too.
_TOPIC_NAME = r"^[A-Za-z0-9._-]{1,249}$"
# RFC 6750, 2.1: what may stand after `Bearer`.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_PROVIDER = re.compile(r"[a-z0-9]+(\.[A-Za-z0-9_.-]+)?")
# What the file may say by the name of another file, and how that value is called.
_IN_FILES = {"token_files": "tokens", "access_key_file": "access_key", "secret_key_file": "secret_key"}
SECRETS = frozenset({"tokens", "access_key", "secret_key", "session_token", "sasl_password", "url"})


def token_problem(token: str) -> tuple[str, str] | None:
    """Return what is wrong with a token and what would be right, never repeating it; None if nothing is."""
    if token.lower().startswith("bearer "):
        return "a token with the word Bearer before it", f"the token alone, {MIN_TOKEN} characters or more"
    if not _TOKEN.fullmatch(token):
        return "a token with characters no HTTP header carries as a token", "letters, digits and -._~+/ only"
    if len(token) < MIN_TOKEN:
        return f"a token of {len(token)} characters", f"{MIN_TOKEN} or more, like `openssl rand -hex 32` prints"
    return None


def _checked_token(token: SecretStr) -> SecretStr:
    if problem := token_problem(token.get_secret_value()):
        raise wrong(*problem)
    return token


def _checked_name(name: str) -> str:
    if name == FOLDER_SOURCE:
        raise wrong(
            f"{name!r} as the name of a source", "another name: the platform's own folders go by this", Rename("files")
        )
    if not _SOURCE_NAME.fullmatch(name):
        fitting = re.sub(r"[^a-z0-9-]+", "-", name.lower())[:63].strip("-")
        change = Rename(fitting) if fitting else None
        raise wrong(f"{name!r} as the name of a source", "1 to 63 lower-case letters, digits and '-'", change)
    return name


def _checked_provider(provider: str) -> str:
    if not _PROVIDER.fullmatch(provider):
        raise wrong(repr(provider), "a provider's id, like minio.default", Write("minio.default"))
    return provider if "." in provider else f"{provider}.default"


def _checked_directory(directory: str) -> str:
    segments = directory.removesuffix("/").split("/")
    if segments[0] or not segments[1:] or not all(one not in ("", ".", "..") for one in segments[1:]):
        raise wrong(repr(directory), "the absolute path of the watched directory, like /data/in", Write("/data/in"))
    return directory


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Source(_Block):
    """One of `sources`. Tokens are a webhook's alone; topic, group and broker one's of type kafka."""

    type: Literal["webhook", "kafka", "minio_listen"] = "webhook"
    provider: Annotated[str, AfterValidator(_checked_provider), Field(examples=["minio.default"])]
    tokens: tuple[Annotated[SecretStr, AfterValidator(_checked_token)], ...] = ()
    token_files: tuple[str, ...] = ()
    tenant: Annotated[str, Field(min_length=1)] = DEFAULT_TENANT
    service: str | None = None
    key_encoding: Literal["auto", "form", "percent", "none"] = "auto"
    directory: Annotated[str, AfterValidator(_checked_directory)] | None = None
    topic: Annotated[str, Field(pattern=_TOPIC_NAME)] | None = None
    group: Annotated[str, Field(pattern=_TOPIC_NAME)] | None = None
    kafka: KafkaSettings | None = None

    @model_validator(mode="after")
    def _topic_or_none(self) -> Self:
        if self.type == "kafka":
            if self.topic is None:
                raise wrong("no topic", "`topic`, the name of the topic to read")
            if self.tokens or self.token_files:
                raise wrong("tokens", "none: who may write is what the broker decides, a topic's source has no token")
            for mistake in () if self.kafka is None else kafka_contradictions(self.kafka):
                raise wrong(mistake.found, mistake.expected)
        elif given := [name for name in ("topic", "group", "kafka") if getattr(self, name) is not None]:
            raise wrong(", ".join(given), "`type: kafka` beside, as only a topic's source has these", None)
        return self

    @model_validator(mode="after")
    def _listening_or_none(self) -> Self:
        if self.type == "minio_listen":
            if not self.provider.startswith("minio."):
                raise wrong(f"a {self.provider} to listen at", "one of type minio: only MinIO can be listened to")
            if self.tokens or self.token_files:
                raise wrong("tokens", "none: nobody sends to a source that listens, it asks with the provider's keys")
        return self

    @model_validator(mode="after")
    def _one_or_two_tokens(self) -> Self:
        if self.type != "webhook":
            return self
        count = len(self.tokens) + len(self.token_files)
        if not 1 <= count <= MAX_TOKENS:
            raise wrong(
                f"{count} tokens" if count else "no token",
                "`tokens` or `token_files` with one token, or two while one replaces the other",
            )
        return self


class S3Provider(_Block):
    """Settings of an S3 store as OSCAR spells them (reference/oscar.md §1.3)."""

    endpoint: str | None = None
    region: str | None = None
    verify: bool = True
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    session_token: SecretStr | None = None
    access_key_file: str | None = None
    secret_key_file: str | None = None

    @model_validator(mode="after")
    def _both_keys_once(self) -> Self:
        given = {}
        for key in ("access_key", "secret_key"):
            inline, file = getattr(self, key) is not None, getattr(self, f"{key}_file") is not None
            if inline and file:
                raise wrong(f"{key} and {key}_file", f"one of the two: {key}_file names the file that holds it")
            given[key] = inline or file
        if given["access_key"] != given["secret_key"]:
            missing = next(key for key, is_there in given.items() if not is_there)
            raise wrong(f"no {missing}", f"`{missing}` or `{missing}_file` beside the other key")
        return self


class MinioProvider(S3Provider):
    """An S3 store whose place is not known by itself, and that nobody uses without a name."""

    endpoint: Annotated[str, Field(examples=["http://127.0.0.1:9000"])]

    @model_validator(mode="after")
    def _never_anonymous(self) -> Self:
        if self.access_key is None and self.access_key_file is None:
            raise wrong("neither access_key nor access_key_file", "the keys of a MinIO user")
        return self


class Providers(_Block):
    """`storage_providers`: by type, then by id."""

    minio: dict[str, MinioProvider] = {}
    s3: dict[str, S3Provider] = {}


class File(Settings):
    """The whole of `config.yaml`."""

    sources: dict[Annotated[str, AfterValidator(_checked_name)], Source] = Field(default_factory=dict)
    storage_providers: Providers = Providers()

    def places(self) -> Iterator[tuple[Loc, Loc]]:
        """Yield what the file says of sources and providers: what it is called, and where in the file it stands."""
        blocks: list[tuple[Loc, _Block]] = [(("sources", name), one) for name, one in self.sources.items()]
        for kind, named in (("minio", self.storage_providers.minio), ("s3", self.storage_providers.s3)):
            blocks += [(("storage_providers", kind, name), one) for name, one in named.items()]
        for loc, block in blocks:
            yield loc, loc
            for said in sorted(block.model_fields_set):
                yield (*loc, _IN_FILES.get(said, said)), (*loc, said)

    def holds_secrets(self, texts: Mapping[Loc, str]) -> bool:
        """Tell whether a secret stands in the file itself. texts: what variables say instead of it."""
        in_url = self.ledger is not None and self.ledger.url is not None and ("ledger", "url") not in texts
        password = None if self.kafka is None else self.kafka.sasl_password
        passwords = (one.kafka is not None and one.kafka.sasl_password is not None for one in self.sources.values())
        return (
            in_url
            or (password is not None and ("kafka", "sasl_password") not in texts)
            or any(source.tokens for source in self.sources.values())
            or any(passwords)
            or any(
                provider.access_key or provider.secret_key or provider.session_token
                for named in (self.storage_providers.minio, self.storage_providers.s3)
                for provider in named.values()
            )
        )
