"""The source of folders: which way of noticing files this system has.

In:  the directory that holds the buckets. Out: the source that watches or polls it.
Not here: either way (inotify.py, polling.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

from oscar_ingest.sources.port import Source


def folder_source(root: Path, *, inotify: bool = sys.platform == "linux") -> Source:
    """Return the source for all buckets below root. inotify: whether to have the kernel tell, Linux only."""
    if inotify:
        from oscar_ingest.sources.inotify import WatchedFolders  # its library cannot be imported elsewhere

        return WatchedFolders(root)
    from oscar_ingest.sources.polling import PolledFolders

    return PolledFolders(root)
