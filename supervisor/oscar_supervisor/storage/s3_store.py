"""Builds every obstore store of this project: one factory, so that none is without its time limits.

In:  settings and a bucket. Out: an obstore `S3Store`.
Not here: what is asked of it (s3.py).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.store import S3Store

from oscar_supervisor.storage.s3_settings import S3Settings

if TYPE_CHECKING:
    from obstore.store import S3Credential

# Of one request, body included: obstore's 30 s end every transfer slower than its size / 30 s (reference/libraries.md
# §3.4.2), and 2 h hold 5 GiB, the largest part of S3, at 0.7 MiB/s.
_REQUEST = "2h"
# Between two reads: a server that is silent so long is stuck.
_READ = "30s"
# A loaded host answers a SYN in milliseconds; one that is away does not at all.
_CONNECT = "5s"
# How many seconds of an outage obstore bridges within one request. The time decides, not the number of tries: a script
# that ran for hours shall not run again for a store that restarted. obstore asks for less than 300, as signatures age.
BRIDGED_S = 180.0
# More tries than fit into that time at the longest wait, 10 s, so that the time is what ends them.
_TRIES = 100
_FIRST_WAIT, _LONGEST_WAIT = timedelta(milliseconds=100), timedelta(seconds=10)


def s3_store(settings: S3Settings, bucket: str, bridged_s: float | None = None) -> S3Store:
    """Return the store of one bucket, addressed by path: bucket names with dots fit no certificate's wildcard.

    What obstore would take from the environment is said here, all but the credentials where settings say so:
    AWS_SESSION_TOKEN beside a provider's own keys is a refused request (seen with MinIO). bridged_s: how long an outage
    may last within a request, for who does not want to wait `BRIDGED_S`.
    """
    given = settings.credentials

    def credentials() -> S3Credential:
        assert given is not None
        return {
            "access_key_id": given.access_key,
            "secret_access_key": given.secret_key,
            "token": given.token or None,
            "expires_at": None,
        }

    endpoint = settings.endpoint or f"https://s3.{settings.region}.amazonaws.com"
    return S3Store(
        bucket,
        region=settings.region,
        endpoint=endpoint,
        aws_endpoint_url_s3=endpoint,
        virtual_hosted_style_request=False,
        skip_signature=False,
        client_options={
            "allow_http": endpoint.startswith("http:"),
            "allow_invalid_certificates": not settings.verify,
            "timeout": _REQUEST,
            "read_timeout": _READ,
            "connect_timeout": _CONNECT,
        },
        retry_config={
            "max_retries": _TRIES,
            "retry_timeout": timedelta(seconds=BRIDGED_S if bridged_s is None else bridged_s),
            "backoff": {"init_backoff": _FIRST_WAIT, "max_backoff": _LONGEST_WAIT, "base": 2},
        },
        credential_provider=credentials if given else None,
    )
