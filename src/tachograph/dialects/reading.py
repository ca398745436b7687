"""Bodies of OTLP requests -> judged spans: the way through the room.

In: bodies of many requests of one signal. Out: `Spans`. What is not written as encoders write it is written anew by
protobuf's own library and read again; `Unreadable` names the requests that this library cannot read either, and those
that hold too much. `TooMany` says that fewer are to be read in one go.
What it must never know: how a body came here, a price, the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tachograph.dialects import DIALECTS
from tachograph.dialects.columns import Facts
from tachograph.dialects.numbering import numbering
from tachograph.dialects.requests import Odd, RequestReader, TooMany, mistaken
from tachograph.dialects.rules import SpanLimits, Spans, judge
from tachograph.dialects.values import Damaged

_MESSAGES: dict[str, Any] = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}


class Unreadable(Exception):
    """`reasons`: by the number of a request why it cannot be read: `malformed` or `batch_too_large`."""

    def __init__(self, requests: Iterable[int], reason: str) -> None:
        self.reasons = dict.fromkeys(requests, reason)
        super().__init__(f"{len(self.reasons)} requests are {reason}")


class SpanReader:
    """Reads and judges. Any thread may use it."""

    def __init__(self, limits: SpanLimits) -> None:
        self.limits = limits
        self._numbers = numbering(DIALECTS)
        self._reader = RequestReader(self._numbers, limits.attributes_max, limits.entries_max)

    def read(self, signal: str, bodies: Sequence[bytes]) -> Spans:
        """What is in the bodies, judged. Unreadable where some of them cannot be, TooMany where all of them are."""
        try:
            return self._read(signal, bodies)
        except TooMany as many:
            if many.requests:
                raise Unreadable(many.requests, "batch_too_large") from many
            raise
        except Odd as odd:
            requests = odd.requests
        written = {number: _anew(signal, bodies[number]) for number in requests}
        if damaged := [number for number, body in written.items() if body is None]:
            raise Unreadable(damaged, "malformed")
        try:
            return self._read(signal, [written.get(number) or body for number, body in enumerate(bodies)])
        except Odd as odd:
            raise Unreadable(odd.requests, "malformed") from odd

    def _read(self, signal: str, bodies: Sequence[bytes]) -> Spans:
        read = self._reader.read(signal, bodies)
        try:
            facts = Facts(read, self._numbers, DIALECTS)
        except Damaged as damaged:
            owners = read.attributes.owners[damaged.places]
            raise Odd(np.unique(read.columns["request"][owners]).tolist()) from damaged
        return judge(facts, signal, DIALECTS, self.limits)


def _anew(signal: str, body: bytes) -> bytes | None:
    """The same request as an encoder writes it, None where it is damaged."""
    try:
        message = _MESSAGES[signal].FromString(body)
    except DecodeError:
        return None
    if mistaken(message):
        return None
    message.DiscardUnknownFields()
    return bytes(message.SerializeToString())
