"""Which content type an object gets from its name.

In:  a key. Out: a media type. Pure.
Not here: looking into the file; what a browser does with it.
"""

from __future__ import annotations

import mimetypes
import posixpath

# Python's own table, not the machine's: the same name gives the same type everywhere.
_TABLE = mimetypes.MimeTypes(filenames=()).types_map[True]
# For Python these are encodings of another type; for who downloads the object they are what it is (RFC 6713, 8878).
_COMPRESSED = {
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
    ".bz2": "application/x-bzip2",
    ".xz": "application/x-xz",
    ".zst": "application/zstd",
}
_UNKNOWN = "application/octet-stream"


def content_type(key: str) -> str:
    """Return the media type for the suffix of the key."""
    suffix = posixpath.splitext(key)[1].lower()
    return _COMPRESSED.get(suffix) or _TABLE.get(suffix, _UNKNOWN)
