"""An outlet into the user's own OpenTelemetry SDK: where their spans and metrics go, calls go too.

In: Calls. Out: one ended CLIENT span a call, below the span that was current when the call was made, and the client
metrics of the GenAI conventions. Which exporters there are, and whether anything is exported, is the user's affair.
What it must never know: what an attribute means, an exporter.

The span's id is OpenTelemetry's, so the call's own id rides along: a call that reaches a collector of ours by this
way and by another counts once. Packages of OpenTelemetry are the user's: they are imported here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from tachograph.call import EPOCH, Call
from tachograph.flow import Refused
from tachograph.outlets.attributes import CALL_ID, attributes, failed, name_of
from tachograph.version import VERSION

# The boundaries that the conventions ask for.
TOKEN_BOUNDARIES = [4**power for power in range(14)]
SECONDS_BOUNDARIES = [0.01 * 2**power for power in range(14)]
GAPS_MAX = 2000  # of one call; a longer stream's gaps are thinned out evenly


class Spans:
    """Writes to the SDK's global providers, or to those that are given.

    legacy: also the attributes `llm.vendor`, `llm.model`, `llm.request_tokens`, `llm.response_tokens` and
    `llm.latency` (milliseconds). metrics: whether histograms are recorded. ImportError, in one line, where the process
    has no OpenTelemetry.
    """

    def __init__(
        self, *, legacy: bool = False, tracer_provider: Any = None, meter_provider: Any = None, metrics: bool = True
    ) -> None:
        try:
            from opentelemetry import context, trace
            from opentelemetry import metrics as meters
        except ImportError as missing:
            raise ImportError(
                "spans cannot be written: OpenTelemetry is not installed here: pip install opentelemetry-sdk"
            ) from missing
        self._trace, self._meters, self._empty = trace, meters, context.Context()
        self._given = tracer_provider is not None or meter_provider is not None
        self._tracer = trace.get_tracer("tachograph", VERSION, tracer_provider)
        self._legacy = legacy
        self._metrics = _Metrics(meters.get_meter("tachograph", VERSION, meter_provider)) if metrics else None

    def write(self, calls: Sequence[Call], token: str) -> int:
        """One span a call, ended when the call ended. Refused where nobody has set up an SDK, who would hear of it."""
        if not self._given and all(
            map(_is_mute, (self._trace.get_tracer_provider(), self._meters.get_meter_provider()))
        ):
            raise Refused("no_sdk", "OpenTelemetry has no SDK in this process: set up a tracer or a meter provider")
        for call in calls:
            self._span(call)
            if self._metrics is not None:
                self._metrics.record(call)
        return len(calls)

    def close(self) -> None:
        """Nothing is held: flushing is the affair of whoever set the providers up."""

    def _span(self, call: Call) -> None:
        start = (call.started_at - EPOCH) // timedelta(microseconds=1) * 1000
        said = attributes(call)
        said[CALL_ID] = call.call_id
        if self._legacy:
            said.update(_legacy(call))
        span = self._tracer.start_span(
            name_of(call), self._parent(call), self._trace.SpanKind.CLIENT, said, start_time=start
        )
        if failed(call):
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))
        span.end(start + round((call.duration_ms or 0.0) * 1000) * 1000)

    def _parent(self, call: Call) -> Any:
        """A context in which the span that was current then is current, and nothing of this thread's own."""
        if not (call.trace_id and call.parent_span_id):
            return self._empty
        parent = self._trace.SpanContext(
            int(call.trace_id, 16),
            int(call.parent_span_id, 16),
            is_remote=False,
            trace_flags=self._trace.TraceFlags(self._trace.TraceFlags.SAMPLED),
        )
        return self._trace.set_span_in_context(self._trace.NonRecordingSpan(parent), self._empty)


def _is_mute(provider: Any) -> bool:
    """Whether it is one of the API's own, which stand in as long as there is no SDK."""
    return type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


class _Metrics:
    """The client metrics of the conventions."""

    def __init__(self, meter: Any) -> None:
        def histogram(name: str, unit: str, meaning: str, boundaries: list[Any]) -> Any:
            return meter.create_histogram(name, unit, meaning, explicit_bucket_boundaries_advisory=boundaries)

        self._tokens = histogram(
            "gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.", TOKEN_BOUNDARIES
        )
        operation = "gen_ai.client.operation"
        self._duration = histogram(f"{operation}.duration", "s", "GenAI operation duration.", SECONDS_BOUNDARIES)
        self._first = histogram(
            f"{operation}.time_to_first_chunk", "s", "Time to receive the first chunk.", SECONDS_BOUNDARIES
        )
        self._each = histogram(
            f"{operation}.time_per_output_chunk", "s", "Time per output chunk after the first.", SECONDS_BOUNDARIES
        )

    def record(self, call: Call) -> None:
        said = {
            "gen_ai.operation.name": call.operation,
            "gen_ai.provider.name": call.provider,
            "gen_ai.request.model": call.request_model,
            "gen_ai.response.model": call.response_model,
        }
        known = {name: value for name, value in said.items() if value}
        for count, kind in ((call.input_tokens, "input"), (call.output_tokens, "output")):
            if count is not None and call.usage_source == "reported":
                self._tokens.record(count, {**known, "gen_ai.token.type": kind})
        if call.duration_ms is not None:
            error = {"error.type": call.error_type} if call.error_type else {}
            self._duration.record(call.duration_ms / 1000, {**known, **error})
        if call.ttft_ms is not None:
            self._first.record(call.ttft_ms / 1000, known)
        for gap in _gaps(call):
            self._each.record(gap, known)


def _gaps(call: Call) -> Iterator[float]:
    """The gaps between chunks in seconds, as far as the call remembers them: the middles of its buckets."""
    buckets = call.itl_buckets or []
    every = max(1, -(-sum(buckets) // GAPS_MAX))
    left = 0
    for place, count in enumerate(buckets):
        whole, left = divmod(count + left, every)
        middle = min(2 ** ((place - 0.5) / 4), call.itl_max_ms or float("inf"))
        for _ in range(whole):
            yield middle / 1000


def _legacy(call: Call) -> dict[str, Any]:
    said = {
        "llm.vendor": call.vendor or call.provider,
        "llm.model": call.response_model or call.request_model,
        "llm.request_tokens": call.input_tokens,
        "llm.response_tokens": call.output_tokens,
        "llm.latency": call.duration_ms,
    }
    return {name: value for name, value in said.items() if value is not None}
