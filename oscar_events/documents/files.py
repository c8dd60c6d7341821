"""Reads the text of files that people name, bounded.

In:  a path. Out: its text, UTF-8, at most 256 KiB.
Not here: what is in it.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

from oscar_events.documents.scan import MAX_BYTES
from oscar_events.mistakes import nearest


class NoTextError(Exception):
    """A file holds no text that can be read. found, expected: for people. line: of it, 0 for the file as a whole."""

    def __init__(self, found: str, expected: str, line: int = 0) -> None:
        super().__init__(found, expected, line)
        self.found, self.expected, self.line = found, expected, line


def read_text(path: Path) -> str:
    """Return the text of a file, without a byte order mark. Raises NoTextError."""
    try:
        # os.path, not pathlib: a name that is too long or holds NUL is no file either. Not a pipe or device: reading
        # those may never end.
        if not os.path.isfile(path):
            similar = similar_file(path)
            expected = "the name of an existing file" + (f", like {similar}" if similar else "")
            what = "a directory" if os.path.isdir(path) else "no file" if os.path.exists(path) else "not there"
            raise NoTextError(f"{path.name} is {what}", expected)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise NoTextError(f"{path.name} cannot be read: {error.strerror}", "a file that you may read") from error
    if len(data) > MAX_BYTES:
        raise NoTextError(f"{path.name} has more than {MAX_BYTES} bytes", "a smaller file, what is large in the image")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        found = f"{path.name} is not UTF-8 at byte {error.start}, 0x{data[error.start]:02x}, in line {line}"
        probably = "utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "latin1"
        expected = (
            f"a file saved as UTF-8; if it is {probably}, `iconv -f {probably} -t utf-8 {path.name}` prints it so"
        )
        raise NoTextError(found, expected, line) from error


def similar_file(path: Path) -> str | None:
    """Return the name of the file, beside one that is not there, that was probably meant."""
    try:
        names = sorted(entry.name for entry in os.scandir(path.parent) if entry.is_file())
    except (OSError, ValueError):
        return None
    return nearest(path.name, names)
