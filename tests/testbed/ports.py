"""Ports of the loopback address for servers that are killed and started again on the same one.

In:  nothing. Out: a port number.
Not here: listening on it (whoever starts a server).
"""

from __future__ import annotations

import socket
from pathlib import Path
from random import SystemRandom

# Above what Debian's servers listen on by themselves.
_FIRST = 15_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ELSEWHERE = 32_768  # where there is no /proc; macOS begins at 49152
_CHANCE = SystemRandom()  # test runs side by side, also with one seed, must not take each other's


def free_port() -> int:
    """Return a port nobody listens on at the moment.

    It is below those the kernel gives to clients: one of these a client of anybody's could take while its server is
    down, and the server could not come back.
    """
    end = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else _ELSEWHERE
    while True:
        port = _CHANCE.randrange(_FIRST, end)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
