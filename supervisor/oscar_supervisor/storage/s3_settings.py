"""What a storage provider of type `minio` or `s3` is told, read and checked.

In:  the provider's settings as OSCAR spells them, all text; a directory of secrets. Out: `S3Settings`, credentials.
Not here: what is done with them (s3_store.py).

Credentials are given or refused: a provider without them never falls back to anonymous requests or to the identity of
the machine, which may be more than the service's owner has. Whoever wants the environment's chain says so with
`credentials: ambient`; `oscar-supervisor run` does for OSCAR's `s3.default` (reference/oscar.md §1.3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from oscar_events.errors import ConfigurationError

# OSCAR's own, for a provider that names none (reference/supervisor.md §4).
_MINIO_IN_CLUSTER = "http://minio-service.minio:9000"
# What S3 means where no region is said; MinIO's own default too.
_REGION = "us-east-1"
_LINE_END = "\r\n"
_FLAGS = {"true": True, "false": False}
# The names under which OSCAR mounts them (reference/supervisor.md §4).
_SECRET_FILES = {"access_key": "accessKey", "secret_key": "secretKey"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks. token: of a session that ends, empty otherwise."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where an S3 store is, and as whom to ask it.

    endpoint: URL without a path; empty = AWS in this region. verify: whether its certificate must be right.
    credentials: None = the chain of the environment (variables, web identity, container, instance).
    """

    endpoint: str
    region: str
    verify: bool
    credentials: Credentials | None

    @property
    def host(self) -> str:
        """Return the name by which people know this store."""
        return urlsplit(self.endpoint).netloc or f"s3.{self.region}.amazonaws.com"


def s3_settings(settings: dict[str, str]) -> S3Settings:
    """Return what the settings of a provider mean. Raises ConfigurationError naming the setting, never its value."""
    kind = settings.get("type", "s3")
    return S3Settings(
        endpoint=_endpoint(kind, settings.get("endpoint", "")),
        region=settings.get("region") or _REGION,
        verify=_flag(settings.get("verify", "true")),
        credentials=_credentials(kind, settings),
    )


def credentials_from(directory: Path) -> dict[str, str]:
    """Return `access_key` and `secret_key` as OSCAR mounts them for a provider; nothing if there is no such directory.

    The line end that `echo` and editors leave is no part of a key. Raises ConfigurationError if one is missing.
    """
    if not directory.is_dir():
        return {}
    found = {}
    for name, file in _SECRET_FILES.items():
        try:
            found[name] = (directory / file).read_text().rstrip(_LINE_END)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise ConfigurationError(f"{directory / file}: {reason}; it must hold the provider's {name}") from error
    return found


def _endpoint(kind: str, endpoint: str) -> str:
    if not endpoint:
        return _MINIO_IN_CLUSTER if kind == "minio" else ""
    parts = urlsplit(endpoint)
    if parts.username is not None:
        raise ConfigurationError("`endpoint` holds a user; use `access_key` and `secret_key`")
    try:
        right = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:  # the port is no number, or too large
        right = False
    if not right or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigurationError(
            f"`endpoint` is '{endpoint}'; it must be http://HOST:PORT or https://HOST, without a path"
        )
    return f"{parts.scheme}://{parts.netloc}"


def _flag(verify: str) -> bool:
    if (flag := _FLAGS.get(verify.strip().lower())) is None:
        raise ConfigurationError(f"`verify` is '{verify}'; true or false")
    return flag


def _credentials(kind: str, settings: dict[str, str]) -> Credentials | None:
    if kind == "s3" and settings.get("credentials") == "ambient":
        return None
    for name in _SECRET_FILES:
        if not settings.get(name):
            raise ConfigurationError(f"type {kind} needs `{name}`; it is missing or empty")
        if len(settings[name].strip(_LINE_END).splitlines()) > 1:
            raise ConfigurationError(f"`{name}` has several lines; it is one word")
    access_key, secret_key = (settings[name].strip(_LINE_END) for name in _SECRET_FILES)
    return Credentials(access_key, secret_key, settings.get("session_token", "").strip(_LINE_END))
