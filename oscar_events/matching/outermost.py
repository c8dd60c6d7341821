"""Which folders to list, so that no object is listed twice.

In:  folders of one bucket. Out: those that lie in no other of them.
Not here: whose folders they are (listened.py).
"""

from __future__ import annotations

from collections.abc import Iterable


def outermost(folders: Iterable[bytes]) -> list[bytes]:
    """Return the folders that lie in no other of them, sorted. b"": the bucket itself, in which all others lie."""
    kept: list[bytes] = []
    # Sorted by segments, what lies in a folder follows it at once.
    for folder in sorted(set(folders), key=lambda folder: folder.split(b"/") if folder else []):
        if not (kept and (not kept[-1] or (folder + b"/").startswith(kept[-1] + b"/"))):
            kept.append(folder)
    return kept


def below_prefix(folder: bytes, prefix: bytes) -> bytes | None:
    """Return the folder to list for what is in this one and has the prefix, from the bucket on; None if nothing can."""
    inside = folder + b"/" if folder else b""
    if inside.startswith(prefix):
        return folder
    if not prefix.startswith(inside):
        return None
    return prefix.rpartition(b"/")[0]
