"""OTLP as it arrives: bytes of requests in, the spec's answers out.

In: OTLP over HTTP (protobuf, JSON) and gRPC. Out: bodies in protobuf, handed many at a time to an `Intake`, and to each
sender the answer that the specification gives for what became of its request.
What it must never know: what an attribute means, the store, a price, SQL.
Why bytes: in bulk a span never becomes a Python object; the bodies of a whole batch are read at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tachograph.flow import Refused

SIGNALS = ("traces", "logs", "metrics")


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one request whose bytes could be read.

    items: spans, log records or data points in it. rejected: how many of these were refused for good; message: why, in
    one line. Both go into the partial success of the answer.
    """

    items: int
    rejected: int = 0
    message: str = ""


class Intake(Protocol):
    """Takes the requests of one signal for good."""

    def take(self, signal: str, bodies: Sequence[bytes]) -> Sequence[Taken | Refused]:
        """Make what is in `bodies` durable; what became of each, in their order.

        bodies: Export*ServiceRequest messages of one signal in protobuf. Returns only when everything that was not
        refused is in the store and synced. Raises Busy where nothing was taken and the same bodies may come again.
        Blocking; called by one thread at a time.
        """
        ...
