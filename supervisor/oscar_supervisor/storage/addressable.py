"""Which keys and buckets obstore can say to an S3 store without changing them.

In:  keys as bytes, names of buckets. Out: the text obstore takes for exactly that, or the reason why there is none.
Not here: keys as file names and paths (oscar_events/paths.py).

obstore 0.12.1 drops a slash at either end in silence, which would be another object, and refuses what it cannot put
into a path with a ValueError that names no reason a user could act on (tried, one by one, in
tests/unit/oscar_supervisor/storage/test_addressable.py). So a key is never passed on without this function.
"""

from __future__ import annotations

import re

from oscar_events.errors import EventError
from oscar_events.paths import printable

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html: "up to 1,024 bytes long".
_MAX_KEY_BYTES = 1024
_DELETE = "\x7f"
# What any store has allowed: AWS before 2018 up to 255 characters with capitals and "_", Ceph "tenant:bucket". obstore
# writes the name into the URL as it is, so that "/", "?" or ".." in it would ask for something else.
_BUCKET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}")


def addressable(key: bytes) -> str:
    """Return the key as obstore must be given it. Raises EventError saying what about the key cannot be said."""
    try:
        text = key.decode()
    except UnicodeDecodeError as error:
        raise _refusal(key, "it is not UTF-8, as keys of S3 are") from error
    if not text:
        raise _refusal(key, "it is empty")
    if len(key) > _MAX_KEY_BYTES:
        raise _refusal(key, f"it has {len(key)} bytes, and S3 ends at {_MAX_KEY_BYTES}")
    segments = text.split("/")
    if "" in segments:
        raise _refusal(key, "it begins or ends with '/' or holds '//'")
    if "." in segments or ".." in segments:
        raise _refusal(key, "'.' or '..' stands for a folder in it")
    if any(char < " " or char == _DELETE for char in text):
        raise _refusal(key, "it holds a control character")
    return text


def addressable_bucket(bucket: str) -> str:
    """Return the name of a bucket as it is. Raises EventError if no bucket can have it."""
    if not _BUCKET.fullmatch(bucket):
        raise EventError(f"no bucket can be called '{printable(bucket.encode(errors='replace'))}'")
    return bucket


def _refusal(key: bytes, why: str) -> EventError:
    return EventError(f"the object '{printable(key)}' cannot be addressed: {why}; give it another name")
