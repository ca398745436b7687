"""The simulated provider's Amazon Bedrock: Converse and InvokeModel (Anthropic's models), whole and streamed.

In: `Asked` (the model stands in the path). Out: `Answer`, as providers.md A5 describes the bodies: disjoint counts,
streams in AWS event-stream frames, the type of an error in a header.
What it must never know: a clock, a socket.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from tachograph.testing import provider_anthropic as anthropic
from tachograph.testing.provider_truth import (
    REFUSAL,
    TEXT,
    THOUGHT,
    TOOL_ARGUMENTS,
    TOOL_NAME,
    Answer,
    Asked,
    Truth,
    digits,
    uuid,
)

_ERRORS = {
    400: "ValidationException",
    401: "AccessDeniedException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "content_filtered"}
_MODEL = re.compile(r"/model/([^/]+)/")
_FRAMES = "application/vnd.amazon.eventstream"
_NATIVE_MODEL = re.compile(r"^(?:[a-z]+\.)?anthropic\.(.+?)(?:-v\d+(?::\d+)?)?$")


def converse(asked: Asked) -> Answer:
    """`POST /model/{id}/converse`. No model and no id in the body."""
    if asked.fails:
        return error(asked)
    body = {
        "output": {"message": {"role": "assistant", "content": list(_content(asked))}},
        "stopReason": _STOPS[asked.scenario.finish],
        "usage": usage(asked.scenario.truth),
        "metrics": {"latencyMs": 12},
    }
    return Answer(pieces=(json.dumps(body).encode(),), headers=_headers(asked))


def converse_stream(asked: Asked) -> Answer:
    """`POST /model/{id}/converse-stream`: the counts come last, in `metadata`."""
    if asked.fails:
        return error(asked)
    return _framed(asked, tuple(_frame(kind, name, value) for kind, name, value in _events(asked)))


def invoke(asked: Asked) -> Answer:
    """`POST /model/{id}/invoke` with Anthropic's body; the counts are in headers too."""
    if asked.fails:
        return error(asked)
    whole = anthropic.message(asked, native_model(asked))
    counts = tuple((f"x-amzn-bedrock-{name}-token-count", str(count)) for name, count in _header_counts(asked))
    headers = (*_headers(asked), *counts, ("x-amzn-bedrock-invocation-latency", "12"))
    pieces = (json.dumps(whole).encode(),)
    return Answer(pieces=pieces, headers=headers, response_id=whole["id"], response_model=whole["model"])


def invoke_stream(asked: Asked) -> Answer:
    """`POST /model/{id}/invoke-with-response-stream` with Anthropic's events."""
    if asked.fails:
        return error(asked)
    events = list(anthropic.events(asked, native_model(asked)))
    if asked.scenario.breaks is None:
        truth = asked.scenario.truth
        events[-1]["amazon-bedrock-invocationMetrics"] = {
            "inputTokenCount": truth.input_uncached,
            "outputTokenCount": truth.output_tokens,
            "invocationLatency": 12,
            "firstByteLatency": 6,
            "cacheReadInputTokenCount": truth.cache_read,
            "cacheWriteInputTokenCount": truth.cache_write,
        }
    return _framed(asked, tuple(_chunk(event) for event in events), anthropic.message_id(asked), native_model(asked))


def error(asked: Asked) -> Answer:
    """The error of the request's scenario."""
    scenario = asked.scenario
    kind = (("x-amzn-errortype", _ERRORS[scenario.status] + ":http://internal.amazon.com/coral/com.amazon.bedrock/"),)
    body = {"message": REFUSAL}
    status = 403 if scenario.status == 401 else scenario.status
    return Answer(pieces=(json.dumps(body).encode(),), status=status, headers=(*_headers(asked), *kind))


def native_model(asked: Asked) -> str:
    """The model's name as the body of an InvokeModel says it: without the vendor and the version."""
    native = _NATIVE_MODEL.match(model_id(asked))
    return native[1] if native else model_id(asked)


def model_id(asked: Asked) -> str:
    """The id in the path."""
    found = _MODEL.search(asked.path)
    return unquote(found[1]) if found else ""


def usage(truth: Truth) -> dict[str, Any]:
    """The counts as Converse spells them; cache members only where the cache was used."""
    counts: dict[str, Any] = {
        "inputTokens": truth.input_uncached,
        "outputTokens": truth.output_tokens,
        "totalTokens": truth.total_tokens,
    }
    if truth.cache_read or truth.cache_write:
        counts |= {"cacheReadInputTokens": truth.cache_read, "cacheWriteInputTokens": truth.cache_write}
    lifetimes = (("1h", truth.cache_write_1h), ("5m", truth.cache_write_5m))
    details = [{"ttl": ttl, "inputTokens": count} for ttl, count in lifetimes if count]
    return counts | ({"cacheDetails": details} if details else {})


def _framed(asked: Asked, frames: tuple[bytes, ...], answer_id: str | None = None, model: str | None = None) -> Answer:
    return Answer(
        pieces=frames,
        content_type=_FRAMES,
        headers=_headers(asked),
        streamed=True,
        cut=asked.scenario.breaks == "cut",
        response_id=answer_id,
        response_model=model,
    )


def _content(asked: Asked) -> Iterator[dict[str, Any]]:
    if asked.scenario.truth.output_reasoning:
        yield {"reasoningContent": {"reasoningText": {"text": THOUGHT, "signature": "c2ltdWxhdGVk"}}}
    if asked.scenario.finish == "tool_calls":
        yield {"toolUse": {"toolUseId": _tool_id(asked), "name": TOOL_NAME, "input": json.loads(TOOL_ARGUMENTS)}}
        return
    yield {"text": TEXT}


def _events(asked: Asked) -> Iterator[tuple[str, str, dict[str, Any]]]:
    yield "event", "messageStart", {"role": "assistant"}
    for index, block in enumerate(_content(asked)):
        for name, value in _block_events(asked, block):
            yield "event", name, value | {"contentBlockIndex": index}
    if asked.scenario.breaks == "error":
        yield "exception", "throttlingException", {"message": REFUSAL}
    if asked.scenario.breaks is None:
        yield "event", "messageStop", {"stopReason": _STOPS[asked.scenario.finish]}
        yield "event", "metadata", {"usage": usage(asked.scenario.truth), "metrics": {"latencyMs": 12}}


def _block_events(asked: Asked, block: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if "toolUse" in block:
        yield "contentBlockStart", {"start": {"toolUse": {"toolUseId": _tool_id(asked), "name": TOOL_NAME}}}
        yield "contentBlockDelta", {"delta": {"toolUse": {"input": TOOL_ARGUMENTS}}}
    elif "reasoningContent" in block:
        yield "contentBlockDelta", {"delta": {"reasoningContent": {"text": THOUGHT}}}
    else:
        for piece in asked.pieces:
            yield "contentBlockDelta", {"delta": {"text": piece}}
    if asked.scenario.breaks is None:
        yield "contentBlockStop", {}


def _header_counts(asked: Asked) -> tuple[tuple[str, int], ...]:
    truth = asked.scenario.truth
    return (
        ("input", truth.input_uncached),
        ("output", truth.output_tokens),
        ("cache-read-input", truth.cache_read),
        ("cache-write-input", truth.cache_write),
    )


def _tool_id(asked: Asked) -> str:
    return "tooluse_" + digits(asked.number, "tool", 22)


def _headers(asked: Asked) -> tuple[tuple[str, str], ...]:
    return (("x-amzn-requestid", uuid(asked.number, "bedrock")),)


def _chunk(event: dict[str, Any]) -> bytes:
    return _frame("event", "chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abcd"})


def _frame(kind: str, name: str, value: dict[str, Any]) -> bytes:
    named = {"event": ":event-type", "exception": ":exception-type"}[kind]
    fields = ((named, name), (":content-type", "application/json"), (":message-type", kind))
    head = b"".join(_frame_header(key, text) for key, text in fields)
    payload = json.dumps(value).encode()
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    whole = prelude + struct.pack(">I", binascii.crc32(prelude)) + head + payload
    return whole + struct.pack(">I", binascii.crc32(whole))


def _frame_header(key: str, text: str) -> bytes:
    return bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(text)) + text.encode()
