"""Which host a directory of jobs belongs to.

In:  the directory. Out: its name, the same for every process that works in it, and for no other directory's.
Not here: what follows from it (role.py: what another host was given is left alone).

It goes by the directory and not by the machine: whether an attempt still runs is told by the lock file of its
execution, so whoever has the directory can tell, after a reboot or in another container too, and nobody else can.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from oscar_events.holder import HOST_NAME


def host_of(jobs: Path) -> str:
    """Return the directory's name, given to it when it had none. Its first part is that of the machine, for people."""
    place = jobs / HOST_NAME
    with suppress(FileNotFoundError):
        return place.read_text()
    fresh = jobs / f"{HOST_NAME}-{secrets.token_hex(4)}"
    fresh.write_text(f"{socket.gethostname()}-{secrets.token_hex(4)}")
    try:
        os.link(fresh, place)  # whole, or not at all; of two that begin at once one is second
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return place.read_text()
