"""What applications with instrumentation of others tell of their calls: OpenInference and OpenTelemetry GenAI.

In: a request of the day, what its attempt met. Out: OTLP requests, and the two doors that they are brought to.
What it must never know: the store, a price, the SDK.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from tachograph.testing.day import Request
from tachograph.testing.day_asking import Usage, attribution

Value = str | int | float | bool | list[str]
_TRIES, _WAIT_SECONDS, _SEND_SECONDS_MAX = 20, 0.5, 10
_SCOPES = {
    "otel": "opentelemetry.instrumentation.google_genai",
    "openinference": "openinference.instrumentation.google",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """What an attempt met. Times in nanoseconds since 1970. first_ns: the first piece. usage: None where it failed."""

    began_ns: int
    ended_ns: int
    first_ns: int | None
    status: int
    usage: Usage | None


class Doors:
    """The OTLP doors: spans of `otel` go to gRPC, those of `openinference` to HTTP. A busy door is tried again."""

    def __init__(self, http: str, grpc_address: str) -> None:
        self._http = http
        self._channel = grpc.insecure_channel(grpc_address)
        self._stub: Any = TraceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def send(self, vocabulary: str, resources: list[ResourceSpans]) -> None:
        """Bring spans; returns when they are stored."""
        asked = ExportTraceServiceRequest(resource_spans=resources)
        for _ in range(_TRIES):
            try:
                return self._once(vocabulary, asked)
            except (OSError, grpc.RpcError):
                time.sleep(_WAIT_SECONDS)
        raise OSError(f"{vocabulary}: the OTLP door does not take spans")

    def _once(self, vocabulary: str, asked: ExportTraceServiceRequest) -> None:
        if vocabulary == "otel":
            self._stub.Export(asked, timeout=_SEND_SECONDS_MAX)
            return
        headers = {"content-type": "application/x-protobuf"}
        request = urllib.request.Request(f"{self._http}/v1/traces", asked.SerializeToString(), headers)
        with self._opener.open(request, timeout=_SEND_SECONDS_MAX):
            return

    def close(self) -> None:
        """Speak to nobody any more."""
        self._channel.close()


def told(request: Request, met: Met) -> ResourceSpans:
    """The span that the application's instrumentation makes of an attempt."""
    words = _otel(request, met) if request.traffic.door == "otel" else _openinference(request, met)
    span = Span(
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        name=f"generate_content {request.traffic.model}",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=met.began_ns,
        end_time_unix_nano=met.ended_ns,
        attributes=_pairs(words),
        status=Status(code=Status.STATUS_CODE_OK if met.usage else Status.STATUS_CODE_ERROR),
    )
    if request.traffic.door == "openinference" and met.first_ns:
        span.events.add(name="First Token Stream Event", time_unix_nano=met.first_ns)
    said = attribution(request)
    resource = {"service.name": said["service"], "deployment.environment.name": said["environment"]}
    spans = ScopeSpans(spans=[span])
    spans.scope.name = _SCOPES[request.traffic.door]
    found = ResourceSpans(scope_spans=[spans])
    found.resource.attributes.extend(_pairs(resource | {key: said[key] for key in ("team", "project") if key in said}))
    return found


def _otel(request: Request, met: Met) -> dict[str, Value]:
    words: dict[str, Value] = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": request.traffic.model,
        "gen_ai.request.stream": request.streamed,
        "gen_ai.conversation.id": request.conversation,
        "user.id": request.user,
        "tachograph.feature": request.traffic.who[2],
        "tachograph.customer": request.customer,
        "http.response.status_code": met.status,
    }
    if met.usage is None:
        return words | {"error.type": str(met.status)}
    if met.first_ns and request.streamed:
        words["gen_ai.response.time_to_first_chunk"] = (met.first_ns - met.began_ns) / 1e9
    return words | {
        "gen_ai.response.id": met.usage.response_id,
        "gen_ai.response.model": met.usage.model,
        "gen_ai.response.finish_reasons": [met.usage.finish],
        "gen_ai.usage.input_tokens": met.usage.input_tokens,
        "gen_ai.usage.output_tokens": met.usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": met.usage.cache_read,
        "gen_ai.usage.reasoning.output_tokens": met.usage.reasoning,
    }


def _openinference(request: Request, met: Met) -> dict[str, Value]:
    who = {key: value for key, value in attribution(request).items() if key in ("feature", "customer")}
    words: dict[str, Value] = {
        "openinference.span.kind": "LLM",
        "llm.provider": "google",
        "llm.system": "google",
        "llm.model_name": request.traffic.model,
        "session.id": request.conversation,
        "user.id": request.user,
        "metadata": json.dumps(who),
        "http.response.status_code": met.status,
    }
    if met.usage is None:
        return words | {"error.type": str(met.status)}
    return words | {
        "llm.token_count.prompt": met.usage.input_tokens,
        "llm.token_count.completion": met.usage.output_tokens,
        "llm.token_count.total": met.usage.input_tokens + met.usage.output_tokens,
        "llm.token_count.prompt_details.cache_read": met.usage.cache_read,
        "llm.token_count.completion_details.reasoning": met.usage.reasoning,
        "llm.finish_reason": met.usage.finish,
    }


def _pairs(words: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in words.items()]


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=each) for each in value]))
    return AnyValue(string_value=value)
