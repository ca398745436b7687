"""The simulated provider's Anthropic messages: whole, streamed, and as Bedrock's InvokeModel wraps them.

In: `Asked`. Out: `Answer`, as providers.md A3 describes the bodies: input, cache reads and cache writes are disjoint
counts; the split by lifetime stands only in the start of a stream; `message_delta` counts are cumulative.
What it must never know: a clock, a socket.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tachograph.testing.provider_truth import (
    REFUSAL,
    TEXT,
    THOUGHT,
    THOUGHT_PIECES,
    TOOL_ARGUMENTS,
    TOOL_ARGUMENTS_PIECES,
    TOOL_NAME,
    Answer,
    Asked,
    Truth,
    digits,
)

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
}
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def messages(asked: Asked) -> Answer:
    """`POST /v1/messages`."""
    if asked.fails:
        return error(asked)
    model = asked.model
    if not asked.body.get("stream"):
        whole = message(asked, model)
        pieces: tuple[bytes, ...] = (json.dumps(whole).encode(),)
        return Answer(pieces=pieces, headers=_headers(asked), response_id=whole["id"], response_model=model)
    return Answer(
        pieces=tuple(_event(event) for event in events(asked, model)),
        content_type="text/event-stream; charset=utf-8",
        headers=_headers(asked),
        streamed=True,
        cut=asked.scenario.breaks == "cut",
        response_id=message_id(asked),
        response_model=model,
    )


def message(asked: Asked, model: str) -> dict[str, Any]:
    """The whole answer."""
    return {
        "id": message_id(asked),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(_content(asked)),
        "stop_reason": _STOPS[asked.scenario.finish],
        "stop_sequence": None,
        "usage": _start_usage(asked.scenario.truth) | _output_usage(asked.scenario.truth),
    }


def events(asked: Asked, model: str) -> Iterator[dict[str, Any]]:
    """The events of a stream, in order."""
    start = message(asked, model) | {"content": [], "stop_reason": None}
    start["usage"] = _start_usage(asked.scenario.truth) | {"output_tokens": 1}
    yield {"type": "message_start", "message": start}
    yield {"type": "ping"}
    for index, block in enumerate(_content(asked)):
        yield from _block_events(asked, index, block)
    if asked.scenario.breaks == "error":
        yield {"type": "error", "error": {"type": "overloaded_error", "message": REFUSAL}}
    if asked.scenario.breaks is not None:
        return
    truth = asked.scenario.truth
    final = {"input_tokens": truth.input_uncached, "cache_creation_input_tokens": truth.cache_write}
    usage = final | {"cache_read_input_tokens": truth.cache_read} | _output_usage(truth)
    delta = {"stop_reason": _STOPS[asked.scenario.finish], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": usage}
    yield {"type": "message_stop"}


def error(asked: Asked) -> Answer:
    """The error of the request's scenario."""
    scenario = asked.scenario
    body = {
        "type": "error",
        "error": {"type": _ERRORS[scenario.status], "message": REFUSAL},
        "request_id": "req_" + digits(asked.number, "request", 24),
    }
    after = scenario.retry_after_seconds
    waits = () if after is None else (("retry-after", str(after)),)
    status = 529 if scenario.status == 503 else scenario.status
    return Answer(pieces=(json.dumps(body).encode(),), status=status, headers=(*_headers(asked), *waits))


def message_id(asked: Asked) -> str:
    """The id of the answer."""
    return "msg_01" + digits(asked.number, "message", 22)


def _start_usage(truth: Truth) -> dict[str, Any]:
    return {
        "input_tokens": truth.input_uncached,
        "cache_creation_input_tokens": truth.cache_write,
        "cache_read_input_tokens": truth.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": truth.cache_write_5m,
            "ephemeral_1h_input_tokens": truth.cache_write_1h,
        },
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def _output_usage(truth: Truth) -> dict[str, Any]:
    counted: dict[str, Any] = {"output_tokens": truth.output_tokens}
    if truth.output_reasoning:
        counted["output_tokens_details"] = {"thinking_tokens": truth.output_reasoning}
    return counted


def _content(asked: Asked) -> Iterator[dict[str, Any]]:
    if asked.scenario.truth.output_reasoning:
        yield {"type": "thinking", "thinking": THOUGHT, "signature": "c2ltdWxhdGVk"}
    if asked.scenario.finish == "tool_calls":
        tool_id = "toolu_01" + digits(asked.number, "tool", 22)
        yield {"type": "tool_use", "id": tool_id, "name": TOOL_NAME, "input": json.loads(TOOL_ARGUMENTS)}
        return
    yield {"type": "text", "text": TEXT}


def _block_events(asked: Asked, index: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    empty: dict[str, dict[str, Any]] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    opened = block | empty[block["type"]]
    yield {"type": "content_block_start", "index": index, "content_block": opened}
    for delta in _block_deltas(asked, block):
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    if asked.scenario.breaks is None:
        yield {"type": "content_block_stop", "index": index}


def _block_deltas(asked: Asked, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if block["type"] == "tool_use":
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in TOOL_ARGUMENTS_PIECES)
    elif block["type"] == "thinking":
        yield from ({"type": "thinking_delta", "thinking": piece} for piece in THOUGHT_PIECES)
        yield {"type": "signature_delta", "signature": block["signature"]}
    else:
        yield from ({"type": "text_delta", "text": piece} for piece in asked.pieces)


def _headers(asked: Asked) -> tuple[tuple[str, str], ...]:
    return (
        ("request-id", "req_" + digits(asked.number, "request", 24)),
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", "3999"),
        ("anthropic-ratelimit-requests-reset", "2026-09-21T14:13:20Z"),
    )


def _event(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
