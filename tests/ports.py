"""Ports for what a test starts under a number: it keeps it over restarts, or could not tell which it took."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

_LOWEST_PORT = 15_000
_OUTGOING_FROM = max(20_000, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below those that the system gives to outgoing connections.

    None of them is given twice, by this worker or by another: one whose process was just killed is free for a second,
    and who took it then would be in the way of the process that comes back.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(_LOWEST_PORT + _WORKER, _OUTGOING_FROM, _WORKERS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if port not in _given and probe.connect_ex(("127.0.0.1", port)):
                probe.bind(("127.0.0.1", port))
                _given.add(port)
                found.append(port)
    return found


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
