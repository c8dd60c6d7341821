"""What time it is in a store that speaks S3, by its own clock.

In:  a provider's settings. Out: its time, to the second.
Not here: what the time is for (applying.py).

Every answer carries a `Date`, also one that refuses: so no credentials are needed, and none are sent.
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from oscar_events.errors import ConfigurationError, UnavailableError

# A store on the same continent answers in milliseconds; people wait for `apply`.
ANSWER_SECONDS = 5.0
# What S3 means where no region is said.
_REGION = "us-east-1"


async def storage_time(provider: str, settings: Mapping[str, str]) -> datetime:
    """Return the store's time. Raises UnavailableError if it does not tell, ConfigurationError for what is no URL."""
    endpoint = settings.get("endpoint") or f"https://s3.{settings.get('region') or _REGION}.amazonaws.com"
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{provider}: its endpoint is {endpoint!r}; write a URL like http://127.0.0.1:9000")
    try:
        date = await asyncio.to_thread(_date, parts.scheme, parts.netloc, settings.get("verify") != "false")
        told = parsedate_to_datetime(date)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnavailableError(
            f"{provider} at {endpoint} does not tell its time: {error or type(error).__name__}; start it, or mend its "
            "endpoint where it is set: what arrives there from now on is judged by its clock"
        ) from error
    return told.astimezone(UTC).replace(microsecond=0)


def _date(scheme: str, place: str, verify: bool) -> str:
    place = place.rpartition("@")[2]
    connection: http.client.HTTPConnection
    if scheme == "https":
        context = ssl.create_default_context()
        if not verify:  # as the provider's settings ask
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(place, timeout=ANSWER_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(place, timeout=ANSWER_SECONDS)
    try:
        connection.request("HEAD", "/")
        date = connection.getresponse().getheader("Date")
    finally:
        connection.close()
    if date is None:
        raise http.client.HTTPException("its answer has no Date")
    return date
