"""Asks an S3 store whether a bucket can be used, for people who wait for the answer.

In:  settings of a provider, a bucket, a time. Out: nothing, or why not.
Not here: objects (s3.py).
"""

from __future__ import annotations

import time
from functools import partial

import obstore
from obstore.exceptions import BaseError

from oscar_supervisor.storage.addressable import addressable_bucket
from oscar_supervisor.storage.aside import aside
from oscar_supervisor.storage.port import Checkpoint, StorageUnavailableError
from oscar_supervisor.storage.s3_errors import translated
from oscar_supervisor.storage.s3_settings import S3Settings, s3_settings
from oscar_supervisor.storage.s3_store import s3_store

# Nothing is there; the store has to look into the bucket, with these credentials, to know.
_NOBODYS_PREFIX = "oscar-events-is-looking"


def look_into(settings: dict[str, str], bucket: str, patience_s: float) -> None:
    """Return if the bucket can be listed. Blocks up to patience_s.

    Raises StorageUnavailableError saying what is wrong and whose it is to mend, ConfigurationError for settings,
    EventError for a name no bucket can have.
    """
    read = s3_settings(settings)
    deadline = time.monotonic() + patience_s

    def in_time() -> None:
        if time.monotonic() > deadline:
            raise StorageUnavailableError(f"{bucket}: {read.host} did not answer within {patience_s:g} s")

    aside(partial(_list, read, bucket, patience_s), in_time)


def _list(settings: S3Settings, bucket: str, patience_s: float, _: Checkpoint) -> None:
    try:
        obstore.list_with_delimiter(
            s3_store(settings, addressable_bucket(bucket), bridged_s=patience_s / 2), _NOBODYS_PREFIX
        )
    except (BaseError, FileNotFoundError) as error:
        raise translated(error, settings.host, bucket) from error
