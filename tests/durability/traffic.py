"""Traffic whose truth is known: traces in which one call is seen by several, spread over several requests.

In: a seed. Out: requests, and of each the spans that are calls; how many calls there are in truth.
"""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.collector_load import attributes
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SDK, FRAMEWORK, GATEWAY = (
    "opentelemetry.instrumentation.openai_v2",
    "openinference.instrumentation.langchain",
    "litellm",
)
MODELS = ("gpt-4o-mini-2024-07-18", "gpt-4.1-2025-04-14", "no-such-model-1")
MS = 10**6


@dataclass(frozen=True, slots=True)
class Seen:
    """One span to send. call: it says something about a call."""

    scope: str
    span: Span
    call: bool

    @property
    def name(self) -> str:
        return (self.span.trace_id + self.span.span_id).hex()


@dataclass(slots=True)
class Request:
    """One export request. calls: names of its spans that are calls. points: data points in it that are kept."""

    signal: str
    body: bytes
    calls: frozenset[str] = frozenset()
    others: int = 0
    points: int = 0
    zipped: bool = False

    def travelling(self) -> bytes:
        return gzip.compress(self.body, 1) if self.zipped else self.body


@dataclass
class Truth:
    """What was made so far. links: (trace, span) -> parent, of all spans."""

    calls: int = 0
    links: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)


class Traffic:
    """Makes requests; every span is unique."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.truth = Truth()
        self._points = 0

    def wave(self, traces: int = 40, requests: int = 4) -> list[Request]:
        """Requests of some traces whose spans are spread over all of them, in any order."""
        chance = self._chance
        spans = [seen for _ in range(traces) for seen in self._trace()]
        chance.shuffle(spans)
        made = [self._request(spans[place::requests]) for place in range(requests)]
        if chance.random() < 0.3:
            made.append(self.metrics())
        chance.shuffle(made)
        return made

    def _trace(self) -> Iterator[Seen]:
        """One to three sightings of a call, sometimes with an attempt before it that failed."""
        chance, trace = self._chance, self._chance.randbytes(16)
        start = time.time_ns() - chance.randrange(2000, 60_000) * MS
        answer = "chatcmpl-" + chance.randbytes(12).hex()
        self.truth.calls += 1
        shape = chance.random()
        if shape < 0.5:
            yield self._sdk(trace, b"", start, answer)
            return
        top = self._framework(trace, start, answer)
        chain = self._other(trace, top.span.span_id, start + 5 * MS)
        sdk = self._sdk(trace, chain.span.span_id, start + 10 * MS, answer)
        yield from (top, chain, sdk)
        if shape < 0.8:
            request = self._other(trace, sdk.span.span_id, start + 12 * MS)
            yield request
            yield self._gateway(trace, request.span.span_id, start + 20 * MS, answer)
        elif shape < 0.9:
            self.truth.calls += 1
            yield self._sdk(trace, chain.span.span_id, start + 6 * MS, None)

    def _span(self, trace: bytes, parent: bytes, start: int, name: str, values: dict[str, Any]) -> Span:
        span = Span(
            trace_id=trace,
            span_id=self._chance.randbytes(8),
            parent_span_id=parent,
            name=name,
            kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=start,
            end_time_unix_nano=start + self._chance.randrange(100, 900) * MS,
            attributes=[*attributes(values)],
        )
        if parent:
            self.truth.links[trace, span.span_id] = parent
        return span

    def _sdk(self, trace: bytes, parent: bytes, start: int, answer: str | None) -> Seen:
        chance, model = self._chance, self._chance.choice(MODELS)
        values: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
            "tachograph.team": f"team-{chance.randrange(5)}",
        }
        if answer is None:
            span = self._span(trace, parent, start, "chat", values | {"error.type": "429"})
            span.end_time_unix_nano = start + MS
            span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR))
            return Seen(SDK, span, True)
        values |= {
            "gen_ai.response.model": model,
            "gen_ai.response.id": answer,
            "gen_ai.usage.input_tokens": chance.randrange(10, 5000),
            "gen_ai.usage.output_tokens": chance.randrange(1, 900),
        }
        return Seen(SDK, self._span(trace, parent, start, "chat", values), True)

    def _framework(self, trace: bytes, start: int, answer: str) -> Seen:
        values = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini", "llm.provider": "openai"}
        return Seen(FRAMEWORK, self._span(trace, b"", start, "ChatOpenAI", values), True)

    def _gateway(self, trace: bytes, parent: bytes, start: int, answer: str) -> Seen:
        values = {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.id": answer,
            "gen_ai.usage.input_tokens": self._chance.randrange(10, 5000),
            "gen_ai.usage.output_tokens": self._chance.randrange(1, 900),
        }
        return Seen(GATEWAY, self._span(trace, parent, start, "litellm_request", values), True)

    def _other(self, trace: bytes, parent: bytes, start: int) -> Seen:
        return Seen("app", self._span(trace, parent, start, "POST /v1/chat", {"http.request.method": "POST"}), False)

    def _request(self, spans: list[Seen]) -> Request:
        message = ExportTraceServiceRequest()
        resource = message.resource_spans.add()
        resource.resource.attributes.extend(attributes({"service.name": "shop"}))
        for scope in dict.fromkeys(seen.scope for seen in spans):
            group = resource.scope_spans.add()
            group.scope.name = scope
            group.spans.extend(seen.span for seen in spans if seen.scope == scope)
        calls = frozenset(seen.name for seen in spans if seen.call)
        zipped = self._chance.random() < 0.5
        return Request("traces", message.SerializeToString(), calls, len(spans) - len(calls), zipped=zipped)

    def metrics(self, points: int = 3) -> Request:
        """Token counts of a service, and as many points that tell of nothing."""
        message = ExportMetricsServiceRequest()
        scope = message.resource_metrics.add().scope_metrics.add()
        for name in ("gen_ai.client.token.usage", "http.server.requests"):
            metric = scope.metrics.add(name=name)
            metric.sum.aggregation_temporality = 1
            for _ in range(points):
                self._points += 1
                point = metric.sum.data_points.add(time_unix_nano=time.time_ns() + self._points, as_int=self._points)
                point.attributes.extend(attributes({"gen_ai.token.type": "input", "number": self._points}))
        return Request("metrics", message.SerializeToString(), others=points, points=points)
