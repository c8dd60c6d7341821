"""Names from outside made safe: a key is data until one of these functions has looked at it (design §8.4).

In:  object keys as bytes, as stores other than S3 allow any. Out: a file name, path components, or text for people.
Not here: opening what they name (oscar_supervisor/below.py), which keys a service wants (matching/).
"""

from __future__ import annotations

from oscar_events.errors import EventError

# Results wait in directories of this name inside a bucket, where no source looks.
STAGING = ".oscar-staging"
# NAME_MAX of every file system we know (ext4, xfs, APFS); S3 keys reach 1,024 bytes between two slashes.
MAX_NAME_BYTES = 255
# Scripts look at the suffix of their input; one longer than this is no file type but a dot in a sentence.
_MAX_SUFFIX_BYTES = 32
_NAMES_OF_DIRECTORIES = frozenset({b"", b".", b".."})
_WITHOUT_A_NAME = b"input"


def local_name(key: bytes) -> bytes:
    """Return the file name under which an object with this key is staged in.

    Never empty, `.` or `..`; without `/` and NUL; at most 255 bytes, the suffix kept. Bytes are not normalised:
    NFC and NFD, and what is not UTF-8, stay as they came.
    """
    name = key.rstrip(b"/").rpartition(b"/")[2].replace(b"\0", b"_")
    if name in _NAMES_OF_DIRECTORIES:
        return _WITHOUT_A_NAME
    if len(name) <= MAX_NAME_BYTES:
        return name
    suffix = _suffix(name)
    return _cut(name[: len(name) - len(suffix)], MAX_NAME_BYTES - len(suffix)) + suffix


def split_key(key: bytes) -> tuple[bytes, ...]:
    """Return the components of the path a key means below a directory.

    Joining them with `/` gives the key again. Raises EventError if the key cannot be such a path: a component that is
    empty, `.` or `..` (two keys would meet in one file, or leave the directory), or NUL.
    """
    if b"\0" in key:
        raise EventError(f"the key {printable(key)} holds a NUL byte, which no file name can")
    components = tuple(key.split(b"/"))
    for component in components:
        if component in _NAMES_OF_DIRECTORIES:
            what = f"'{component.decode()}'" if component else "an empty name (a leading, trailing or double '/')"
            raise EventError(f"the key '{printable(key)}' cannot be a path: it holds {what}")
    return components


def is_hidden(key: bytes) -> bool:
    """Tell whether the name, or one of the folders it is in, begins with a dot."""
    return key.startswith(b".") or b"/." in key


def printable(key: bytes) -> str:
    r"""Return the key as text for people: what is not UTF-8 as `\xff`, what does not print as `\n` or `\u202e`."""
    text = key.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _suffix(name: bytes) -> bytes:
    stem, dot, suffix = name.rpartition(b".")
    return dot + suffix if stem and len(suffix) < _MAX_SUFFIX_BYTES else b""


def _cut(stem: bytes, size: int) -> bytes:
    """Cut to size without leaving half a character, if it was text before."""
    try:
        stem.decode()
    except UnicodeDecodeError:
        return stem[:size]
    return stem[:size].decode("utf-8", "ignore").encode()
