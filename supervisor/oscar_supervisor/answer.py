"""What a run says on stdout: its result, in the form OSCAR's clients take it.

In:  what the script printed, in a file; TMP_OUTPUT_DIR if its files are the answer. Out: bytes, in bounded memory.
Not here: which events are answered with files (job_of_event.py), logs (stderr).

As OSCAR (reference/supervisor.md §9): one file is answered as base64, several as base64 of a zip in which they are
stored, and without any, and for every storage event, what the script printed. A newline ends each form.
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from oscar_events.paths import printable
from oscar_supervisor.below import open_regular, open_root

# A multiple of 3, so that base64 of the pieces is base64 of the whole; large enough that the loop is no cost.
_PIECE_BYTES = 3 * 256 * 1024
# The time of a member is no part of a result, and zip knows none before 1980 and after 2107.
_NO_TIME = (1980, 1, 1, 0, 0, 0)

Sink = Callable[[bytes], object]


def answer_printed(printed: Path, sink: Sink) -> None:
    """Write what the script printed."""
    with printed.open("rb") as file:
        _copy(file, sink)
    sink(b"\n")


def answer_files(directory: Path, files: Mapping[bytes, tuple[bytes, ...]], scratch: Path, sink: Sink) -> None:
    """Write the files of TMP_OUTPUT_DIR, at least one. scratch: a file that does not exist yet, for the zip."""
    root = open_root(directory)
    try:
        if len(files) == 1:
            [components] = files.values()
            with open(open_regular(root, components), "rb") as file:
                _copy(file, lambda piece: sink(binascii.b2a_base64(piece, newline=False)))
        else:
            _zip(root, files, scratch)
            with scratch.open("rb") as file:
                _copy(file, lambda piece: sink(binascii.b2a_base64(piece, newline=False)))
    finally:
        os.close(root)
    sink(b"\n")


def _zip(root: int, files: Mapping[bytes, tuple[bytes, ...]], scratch: Path) -> None:
    import shutil
    import zipfile

    with zipfile.ZipFile(scratch, "x", zipfile.ZIP_STORED) as archive:
        for name, components in sorted(files.items()):
            with open(open_regular(root, components), "rb") as file:
                member = zipfile.ZipInfo(printable(name), _NO_TIME)
                member.file_size = os.fstat(file.fileno()).st_size  # decides whether the member needs zip64
                with archive.open(member, "w") as copy:
                    shutil.copyfileobj(file, copy, _PIECE_BYTES)


def _copy(file: BinaryIO, sink: Sink) -> None:
    """Give a buffered file to the sink in pieces, all but the last of them full: a short one would end base64 early."""
    while piece := file.read(_PIECE_BYTES):
        sink(piece)
