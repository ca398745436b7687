"""A double of the collector's intake that keeps the promises of one, requests to send, and open doors.

In: what it shall do wrong. Out: what it was given.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tachograph.capture.otlp import Taken
from tachograph.capture.otlp.doors import DoorSettings, Running, doors
from tachograph.capture.otlp.gate import Gatekeeper
from tachograph.capture.otlp.limits import DoorLimits
from tachograph.flow import Busy, Refused

QUICK = DoorLimits(gather_seconds=0.01, stop_seconds_max=2.0)
_KINDS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}


@dataclass
class RecordingIntake:
    """Keeps what it takes. failures: raised one after another before anything is taken. answer: what became of a
    request that could be read. gate: taking waits until it is set."""

    failures: list[Exception] = field(default_factory=list)
    answer: Callable[[int], Taken | Refused] = Taken
    gate: threading.Event = field(default_factory=threading.Event)
    batches: list[tuple[str, list[bytes]]] = field(default_factory=list)
    attempts: int = 0
    running: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def take(self, signal: str, bodies: Sequence[bytes]) -> list[Taken | Refused]:
        """Keep the bodies."""
        self.attempts += 1
        self.running += 1
        assert self.running == 1, "two threads take at once"
        try:
            assert self.gate.wait(20)
            if self.failures:
                raise self.failures.pop(0)
            self.batches.append((signal, list(bodies)))
            return [self._one(signal, body) for body in bodies]
        finally:
            self.running -= 1

    def _one(self, signal: str, body: bytes) -> Taken | Refused:
        try:
            request = _KINDS[signal].FromString(body)
        except DecodeError as error:
            return Refused("not_otlp", f"not OTLP: {error}")
        return self.answer(items(request))

    @property
    def bodies(self) -> list[bytes]:
        """Everything taken, in order."""
        return [body for _, bodies in self.batches for body in bodies]

    def span_names(self) -> list[str]:
        """The names of all spans taken."""
        requests = [
            ExportTraceServiceRequest.FromString(b) for s, bodies in self.batches if s == "traces" for b in bodies
        ]
        return [
            span.name
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def items(request: Any) -> int:
    """Spans or log records; metrics count as one each."""
    return sum(
        len(getattr(scope, name))
        for group in ("resource_spans", "resource_logs", "resource_metrics")
        for resource in getattr(request, group, ())
        for part, name in (("scope_spans", "spans"), ("scope_logs", "log_records"), ("scope_metrics", "metrics"))
        for scope in getattr(resource, part, ())
    )


def traces(*names: str, padding: int = 0) -> bytes:
    """A request with one span of each name."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for name in names:
        span = spans.add(name=name, trace_id=os.urandom(16), span_id=os.urandom(8), start_time_unix_nano=1)
        if padding:
            span.attributes.add(key="padding").value.string_value = "x" * padding
    return bytes(request.SerializeToString())


def logs(*texts: str) -> bytes:
    """A request with one log record of each text."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for text in texts:
        records.add().body.string_value = text
    return bytes(request.SerializeToString())


def metrics(*names: str) -> bytes:
    """A request with one gauge of each name."""
    request = ExportMetricsServiceRequest()
    gauges = request.resource_metrics.add().scope_metrics.add().metrics
    for name in names:
        gauges.add(name=name).gauge.data_points.add(as_int=1)
    return bytes(request.SerializeToString())


@dataclass
class Open:
    """Open doors, what they were told, and what they counted."""

    running: Running
    intake: RecordingIntake
    counts: Counter[tuple[str, str]]

    @property
    def url(self) -> str:
        """Of the HTTP door."""
        return f"http://127.0.0.1:{self.running.http_port}"

    @property
    def target(self) -> str:
        """Of the gRPC door."""
        return f"127.0.0.1:{self.running.grpc_port}"


def everybody(_shown: str | None) -> str:
    """A gatekeeper of an open house."""
    return "ok"


@contextlib.asynccontextmanager
async def opened(
    intake: RecordingIntake | None = None,
    limits: DoorLimits = QUICK,
    gatekeeper: Gatekeeper = everybody,
    **settings: Any,
) -> AsyncIterator[Open]:
    """Doors on free ports of loopback."""
    counts: Counter[tuple[str, str]] = Counter()

    def count(name: str, amount: int, label: str) -> None:
        counts[name, label] += amount

    intake = intake or RecordingIntake()
    where: dict[str, Any] = {"http": "127.0.0.1:0", "grpc": "127.0.0.1:0", **settings}
    async with doors(DoorSettings(limits=limits, **where), intake, lambda _host: gatekeeper, count) as running:
        yield Open(running, intake, counts)


def run(test: Coroutine[Any, Any, None]) -> None:
    """A test that is a coroutine; one that hangs fails."""
    asyncio.run(asyncio.wait_for(test, 60))


def busy(times: int, after_seconds: float = 1.0) -> list[Exception]:
    """So many times no."""
    return [Busy("the store is full", after_seconds) for _ in range(times)]
