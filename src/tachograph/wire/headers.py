"""What response headers say: request ids, server times, tiers, token counts.

Source: providers.md A1.8, A5, A6, A9, A10, A13. Read after the body; a body's word outranks a header's, except for
Azure's served model, which the body may hide behind a deployment name.
What it must never know: bodies, prices.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tachograph.wire import marks
from tachograph.wire.format import Asked
from tachograph.wire.found import Found, count, name, number
from tachograph.wire.limits import read_limits, stating

REQUEST_IDS = (
    "x-request-id",
    "request-id",
    "x-amzn-requestid",
    "apim-request-id",
    "mistral-correlation-id",
    "x-ds-trace-id",
    "x-debug-trace-id",
    "x-baseten-request-id",
    "x-generation-id",
    "inference-id",
    "x-amzn-trace-id",
)

# (header, factor to milliseconds); the first that is there wins.
SERVER_TIMES: tuple[tuple[str, float], ...] = (
    ("openai-processing-ms", 1),
    ("x-metrics-e2e-ms", 1),
    ("x-amzn-bedrock-invocation-latency", 1),
    ("x-total-time", 1),
    ("req-cost-time", 1),
    ("x-kong-upstream-latency", 1),
    ("fireworks-server-processing-time", 1000),
    ("x-envoy-upstream-service-time", 1),
)
_FRONT_END = re.compile(r"\bgfet4t7; *dur=(\d+(?:\.\d+)?)")  # Google's word in `server-timing`
QUEUE_TIMES: tuple[tuple[str, float], ...] = (("x-queue-time", 1),)
COUNTS = (
    "x-prompt-tokens",
    "x-generated-tokens",
    "fireworks-prompt-tokens",
    "fireworks-cached-prompt-tokens",
    "x-amzn-bedrock-input-token-count",
    "x-amzn-bedrock-output-token-count",
    "x-amzn-bedrock-cache-read-input-token-count",
    "x-amzn-bedrock-cache-write-input-token-count",
)
TIERS = ("azureai-processed-tier", "x-gemini-service-tier", "x-amzn-bedrock-service-tier")

_ROUTED = re.compile(r"^/(?!v\d+/)([a-z0-9-]+)/")  # Hugging Face: the upstream that was asked for
_RESIDENCY = re.compile(r"^([a-z]{2})\.api\.openai\.com$")


def read_headers(found: Found, headers: Mapping[str, str], asked: Asked) -> None:
    """Fill what the body left open."""
    names = tuple(headers)
    there = _there(names)
    if there.marks:
        marks.by_headers(found, headers, there.marks)
    if there.counts:  # of tokens, that engines write into headers, for formats whose bodies lack them
        known = {header: value for header in there.counts if (value := count(headers[header])) is not None}
        if known:
            found.usage_copies["headers"] = known
    read_limits(found, headers, there.limits)
    if found.request_id is None:
        found.request_id = _word(headers, there.request_ids)
    found.server_ms = _first(headers, there.server_times) if found.server_ms is None else found.server_ms
    found.server_ms = _front_end(headers) if found.server_ms is None else found.server_ms
    found.queue_ms = _first(headers, there.queue_times) if found.queue_ms is None else found.queue_ms
    if found.service_tier is None:
        found.service_tier = _word(headers, there.tiers)
    if there.route:
        _served(found, headers)
    residency = _RESIDENCY.match(asked.host) if asked.host.endswith("api.openai.com") else None
    if residency:
        found.price_context["data_residency"] = residency.group(1)
    routed = _ROUTED.match(asked.path) if asked.host == "router.huggingface.co" else None
    upstream = name(headers.get("x-inference-provider")) or (routed and routed.group(1))
    if upstream:
        found.price_context["route"] = upstream


@dataclass(frozen=True, slots=True)
class _There:
    """Which of the headers that we know an answer has."""

    marks: tuple[tuple[str, str, str], ...]
    counts: tuple[str, ...]
    request_ids: tuple[str, ...]
    server_times: tuple[tuple[str, float], ...]
    queue_times: tuple[tuple[str, float], ...]
    tiers: tuple[str, ...]
    limits: tuple[str, ...]
    route: bool


@functools.lru_cache(maxsize=256)  # a server answers with the same headers, time and again
def _there(names: tuple[str, ...]) -> _There:
    return _There(
        marks=tuple(mark for mark in marks.HEADERS if mark[0] in names),
        counts=tuple(header for header in COUNTS if header in names),
        request_ids=tuple(header for header in REQUEST_IDS if header in names),
        server_times=tuple(time for time in SERVER_TIMES if time[0] in names),
        queue_times=tuple(time for time in QUEUE_TIMES if time[0] in names),
        tiers=tuple(header for header in TIERS if header in names),
        limits=stating(names),
        route="x-ms-served-model" in names or "x-ms-is-spilled-over" in names,
    )


def _served(found: Found, headers: Mapping[str, str]) -> None:
    """Azure's word on which model and which capacity it was."""
    served = name(headers.get("x-ms-served-model"))
    if served and (found.response_model is None or found.response_model == found.request_model):
        found.response_model = served
    if headers.get("x-ms-is-spilled-over", "").lower() == "true":
        found.price_context["spilled_over"] = "true"


def _front_end(headers: Mapping[str, str]) -> float | None:
    found = _FRONT_END.search(headers["server-timing"]) if "server-timing" in headers else None
    return number(found.group(1)) if found else None


def _word(headers: Mapping[str, str], candidates: tuple[str, ...]) -> str | None:
    for header in candidates:
        if headers.get(header):
            return name(headers[header])
    return None


def _first(headers: Mapping[str, str], candidates: tuple[tuple[str, float], ...]) -> float | None:
    for header, factor in candidates:
        value = number(headers[header]) if header in headers else None
        if value is not None and value >= 0:
            found = value * factor
            return found if found.is_integer() else round(found, 3)
    return None
