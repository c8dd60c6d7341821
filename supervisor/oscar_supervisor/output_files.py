"""Finds the files a script left in TMP_OUTPUT_DIR.

In:  the directory, when nothing of the script runs any more. Out: their names, and what was passed over and why.
Not here: which of them become objects (outputs.py).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from oscar_events.paths import printable
from oscar_supervisor.outputs import OutputRefusedError

# A key of 1,024 bytes is in fewer folders. Each level costs a descriptor and a stack frame, which end at about 1,000.
_DEEPEST = 512


@dataclass(slots=True)
class Found:
    """What is in TMP_OUTPUT_DIR.

    files: name relative to the directory -> components of the path below it that holds the content, free of links.
    passed_over: one sentence for each thing that is no file.
    """

    files: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)


def find_files(directory: Path) -> Found:
    """Return every regular file below the directory, hidden ones too, without opening a FIFO or a device.

    A symbolic link counts as a file if it ends at one inside of the directory. Raises OSError for a folder that cannot
    be read, OutputRefusedError for one too deep: what is in it must not be missing in silence.
    """
    found = Found()
    root = os.fsencode(os.path.realpath(directory))
    for path, directories, names, descriptor in os.fwalk(root, onerror=_refuse):
        if path.removeprefix(root).count(b"/") > _DEEPEST:
            raise OutputRefusedError(f"TMP_OUTPUT_DIR holds folders more than {_DEEPEST} deep")
        for name in directories + names:
            mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                continue
            file = (path + b"/" + name).removeprefix(root + b"/")
            if stat.S_ISREG(mode):
                found.files[file] = tuple(file.split(b"/"))
            elif not stat.S_ISLNK(mode):
                found.passed_over.append(f"'{printable(file)}' is no regular file")
            elif content := _link_end(root, file):
                found.files[file] = content
            else:
                found.passed_over.append(f"'{printable(file)}' is a link that ends at no file in TMP_OUTPUT_DIR")
    return found


def _refuse(error: OSError) -> None:
    raise error


def _link_end(root: bytes, link: bytes) -> tuple[bytes, ...] | None:
    end = os.path.realpath(root + b"/" + link)
    inside = end.removeprefix(root + b"/")
    return tuple(inside.split(b"/")) if inside != end and os.path.isfile(end) else None
