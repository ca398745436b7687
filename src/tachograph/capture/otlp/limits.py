"""How much the OTLP doors let in: every limit by name, with its unit.

In: settings. Out: `DoorLimits`, and `InFlight`, which holds the two limits that all requests share.
What it must never know: what is inside a request, a socket, a clock.
"""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass

from tachograph.flow import Busy, Refused

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """What one request may be, what all of them may be together, and how they are gathered.

    body_bytes_max: a request after decompression. compressed_bytes_max: a compressed one as it travels.
    json_bytes_max: a request in JSON, which takes ten times its size in memory while it is read.
    message_bytes_max, reading_messages_max: one message of gRPC, which is in memory before we know its size, and how
    many are read at once; others wait.
    connections_max: open connections of each door; one more is told 503 (HTTP) or closed (gRPC).
    in_flight_bytes_max, in_flight_requests_max: what is read, waiting or being stored, over both doors; past it the
    doors are busy. batch_bytes_max, batch_requests_max: what is stored in one go; a larger single request goes alone.
    gather_seconds: how long the first request of a batch waits for others; where many come, up to three times that.
    request_seconds_max: how long a sender may take to send one request. idle_seconds_max: how long a connection
    may stay open unused. stop_seconds_max: how long requests in flight may take once the doors are told to stop.
    """

    body_bytes_max: int = 64 * MIB
    compressed_bytes_max: int = 16 * MIB
    json_bytes_max: int = 16 * MIB
    message_bytes_max: int = 16 * MIB
    reading_messages_max: int = 64
    connections_max: int = 1024
    in_flight_bytes_max: int = 192 * MIB
    in_flight_requests_max: int = 4096
    batch_bytes_max: int = 14 * MIB
    batch_requests_max: int = 512
    gather_seconds: float = 0.15
    request_seconds_max: float = 30.0
    idle_seconds_max: float = 120.0
    stop_seconds_max: float = 10.0

    def __post_init__(self) -> None:
        """ValueError, in one line, for a limit that lets nothing through."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name != "gather_seconds"):
                raise ValueError(f"{field.name} is {value}: give a number above 0")


class InFlight:
    """What all requests together hold. Safe to share between threads: bodies unfold in one of their own."""

    def __init__(self, limits: DoorLimits) -> None:
        self.limits = limits
        self.lock = threading.Lock()
        self.requests = 0
        self.bytes = 0

    def request(self) -> Held:
        """One more request, which is in flight for as long as its `with` block. Busy where there are too many."""
        with self.lock:
            if self.requests >= self.limits.in_flight_requests_max:
                raise Busy(f"{self.requests} requests are in flight: try again later")
            self.requests += 1
        return Held(self)


class Held:
    """What one request holds."""

    def __init__(self, everything: InFlight) -> None:
        self._everything = everything
        self.bytes = 0

    def resize(self, size: int) -> None:
        """Hold `size` bytes in all. Busy where the other requests leave no room for more."""
        everything = self._everything
        with everything.lock:
            total = everything.bytes + size - self.bytes
            if size > self.bytes and total > everything.limits.in_flight_bytes_max:
                raise Busy(f"{everything.bytes} bytes are in flight: try again later")
            everything.bytes, self.bytes = total, size

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.resize(0)
        with self._everything.lock:
            self._everything.requests -= 1


def check_size(size: int, size_max: int) -> None:
    """Refused where one request is larger than it may be."""
    if size > size_max:
        raise Refused("too_large", f"the request is over {size_max} bytes: send smaller batches")
