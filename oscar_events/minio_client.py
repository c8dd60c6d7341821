"""A client of one MinIO, and its errors in our words: for whoever listens, lists or sets notifications there.

In:  a provider's settings as config.yaml gives them. Out: miniopy-async's client; `telling`, which maps its errors.
Not here: what is asked of the server (oscar_ingest/sources/minio_listen.py, manager/watching.py), objects' content.

The library's own session would try 5 times by itself and wait 5 minutes for a byte: retries are ours, at one level, and
a server that is silent is away (reference/libraries.md §1.6).
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import aiohttp
from miniopy_async.api import Minio
from miniopy_async.credentials.providers import StaticProvider
from miniopy_async.error import (
    InvalidResponseError,
    MinioAdminException,
    MinioException,
    S3Error,
    ServerError,
)
from miniopy_async.minioadmin import MinioAdmin

from oscar_events.errors import ConfigurationError, NotFoundError, OscarEventsError, UnavailableError

# As other S3 clients of this platform do: what S3 means where no region is said, MinIO's own default too.
REGION = "us-east-1"
# A server on the same continent takes a connection in a second; people wait for commands.
_CONNECT_S = 5.0
# MinIO sends a blank twice a second on a connection that listens, and answers everything else we ask within seconds.
SILENCE_S = 10.0
# A connection that listens gets two blanks a second and no end of line while nothing happens; aiohttp gives up on a
# line that is longer than twice this. So an idle one lasts twelve days, and is then opened again.
_BUFFER_BYTES = 1024 * 1024

_WRONG_KEYS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidTokenId", "ExpiredToken"})
_AWAY = frozenset(
    {"SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "InternalError", "RequestTimeout",
     "XMinioServerNotInitialized", "ServerNotInitialized", "XMinioBackendDown"}
)  # fmt: skip


@asynccontextmanager
async def minio_client(settings: Mapping[str, str], silence_s: float | None = None) -> AsyncIterator[Minio]:
    """Yield a client of the provider with these settings; it connects when it is asked something.

    settings: `endpoint`, `access_key`, `secret_key`, and perhaps `session_token`, `region`, `verify`. silence_s: until
    a server that says nothing counts as away; SILENCE_S unless given. Raises ConfigurationError for an endpoint that is
    no URL of a server.
    """
    host, is_secure = _address(settings)
    async with _session(settings, silence_s) as session:
        yield Minio(
            host,
            credentials=_credentials(settings),
            secure=is_secure,
            region=settings.get("region") or REGION,
            session=session,
        )


async def known_targets(settings: Mapping[str, str]) -> list[str] | None:
    """Return the ARNs of the server's notification targets; None if the user of these keys may not ask for them.

    Raises as `minio_client` and `telling` do.
    """
    host, is_secure = _address(settings)
    async with _session(settings) as session:
        region = settings.get("region") or REGION
        admin = MinioAdmin(host, _credentials(settings), region=region, secure=is_secure, session=session)
        with telling(f"asking {host} for its notification targets", "admin:ServerInfo"):
            try:
                told = json.loads(await admin.info())
            except MinioAdminException:
                return None  # most users may not, and some other S3 stores have no such question
    return [str(arn) for arn in told.get("sqsARN") or []]


def _address(settings: Mapping[str, str]) -> tuple[str, bool]:
    """Return host and port, and whether to speak TLS."""
    endpoint = settings.get("endpoint", "")
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
        raise ConfigurationError(
            f"`endpoint` is {endpoint!r}; it must be http://HOST:PORT or https://HOST, without a path"
        )
    return parts.netloc, parts.scheme == "https"


def _credentials(settings: Mapping[str, str]) -> StaticProvider:
    token = settings.get("session_token") or None
    return StaticProvider(settings.get("access_key", ""), settings.get("secret_key", ""), token)


def _session(settings: Mapping[str, str], silence_s: float | None = None) -> aiohttp.ClientSession:
    check = settings.get("verify", "true") != "false"
    return aiohttp.ClientSession(
        # 0: no limit, as each bucket listened to keeps a connection.
        connector=aiohttp.TCPConnector(limit=0, ssl=_trusting() if check else False),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=silence_s or SILENCE_S),
        read_bufsize=_BUFFER_BYTES,
    )


def _trusting() -> ssl.SSLContext:
    """Return what trusts the authorities of this system, and those of SSL_CERT_FILE, as OpenSSL does."""
    return ssl.create_default_context()


@contextmanager
def telling(doing: str, right: str, silence_s: float | None = None) -> Iterator[None]:
    """Raise the library's errors as ours.

    doing: what was being asked, like `listening to bucket pics at 127.0.0.1:9000`. right: the policy action that it
    needs, like `s3:ListenBucketNotification`. silence_s: as the client has it.

    Raises NotFoundError for a bucket that is not there, ConfigurationError for wrong keys, missing rights and refused
    arguments, UnavailableError while the server is away.
    """
    try:
        yield
    except S3Error as error:
        raise _ours(error, doing, right) from error
    except ServerError as error:
        raise UnavailableError(f"{doing}: the server answers {error.status_code}; it may be starting") from error
    except InvalidResponseError as error:
        raise UnavailableError(f"{doing}: what answers there is no S3 store, or starts; {_first(error)}") from error
    except aiohttp.ClientSSLError as error:
        raise ConfigurationError(
            f"{doing}: its certificate is not trusted ({_first(error)}); name its authority in SSL_CERT_FILE, or set "
            "`verify: false` for a server of your own"
        ) from error
    except TimeoutError as error:  # aiohttp's own are of this kind
        raise UnavailableError(f"{doing}: the server does not answer within {silence_s or SILENCE_S:g} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UnavailableError(
            f"{doing}: the server is away ({_first(error)}); start it, or mend `endpoint`"
        ) from error
    except (MinioException, ValueError) as error:  # what the library itself refuses, like the name of a bucket
        raise ConfigurationError(f"{doing}: {_first(error)}; correct that") from error


def _ours(error: S3Error, doing: str, right: str) -> OscarEventsError:
    code = error.code or ""
    if code == "NoSuchBucket":
        return NotFoundError(f"{doing}: there is no such bucket; make it first, or correct the name")
    if code in _WRONG_KEYS:
        return ConfigurationError(f"{doing}: the store refuses the keys ({code}); correct access_key and secret_key")
    if code == "AccessDenied":
        return ConfigurationError(f"{doing}: the user of these keys may not; give it a policy that allows {right}")
    if code == "InvalidArgument" and "ARN" in (error.message or ""):
        return NotFoundError(f"{doing}: {error.message}; the server knows no such target")
    if code in _AWAY:
        return UnavailableError(f"{doing}: the server is not ready ({code})")
    return ConfigurationError(f"{doing}: refused by the server: {error.message or code} ({code}); correct that")


def _first(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):  # its own text is about aiohttp's settings of TLS, even of http
        cause = error.os_error
        # Errors of the resolver are negative, and what they are called is not the operating system's to say.
        return os.strerror(cause.errno) if cause.errno and cause.errno > 0 else str(cause.strerror or cause)
    return (str(error) or type(error).__name__).splitlines()[0][:200]
