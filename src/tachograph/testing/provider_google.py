"""The simulated provider's Gemini: generateContent, streamGenerateContent, embeddings, on Google's and Vertex's paths.

In: `Asked` (the model stands in the path). Out: `Answer`, as providers.md A4 describes the bodies: cached tokens inside
the prompt, thoughts beside the candidates, a count of zero left out, cache writes not counted apart.
What it must never know: a clock, a socket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

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
)

_ERRORS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_MODEL = re.compile(r"/models/([^/:]+):")
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def generate(asked: Asked) -> Answer:
    """`POST .../models/{model}:generateContent`."""
    if asked.fails:
        return error(asked)
    whole = _part(asked, list(_parts(asked)), last=True)
    return _answer(asked, (json.dumps(whole).encode(),))


def stream(asked: Asked) -> Answer:
    """`POST .../models/{model}:streamGenerateContent`: events with `alt=sse`, else one array."""
    if asked.fails:
        return error(asked)
    chunks = list(_chunks(asked))
    if "alt=sse" in asked.path:
        pieces = tuple(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)
        return _answer(asked, pieces, "text/event-stream")
    bodies = [json.dumps(chunk).encode() for chunk in chunks]
    pieces = tuple((b"[" if i == 0 else b",\r\n") + body for i, body in enumerate(bodies))
    return _answer(asked, pieces if asked.scenario.breaks == "cut" else (*pieces, b"]"), "application/json")


def embed(asked: Asked) -> Answer:
    """`POST .../models/{model}:embedContent` and `:batchEmbedContents`: input alone is counted."""
    if asked.fails:
        return error(asked)
    vector = {"values": [0.25, -0.5, 0.125]}
    many = asked.path.split("?")[0].endswith(":batchEmbedContents")
    body: dict[str, Any] = {"embeddings": [vector] * len(asked.body.get("requests", [1]))}
    if not many:
        body = {"embedding": vector}
    body["usageMetadata"] = {"promptTokenCount": asked.scenario.truth.input_tokens}
    return Answer(pieces=(json.dumps(body).encode(),), response_model=model(asked))


def error(asked: Asked) -> Answer:
    """The error of the request's scenario; how long to wait is said in the body alone."""
    scenario = asked.scenario
    details: list[dict[str, str]] = []
    if scenario.retry_after_seconds is not None:
        details = [{"@type": _RETRY_INFO, "retryDelay": f"{scenario.retry_after_seconds}s"}]
    inner = {"code": scenario.status, "message": REFUSAL, "status": _ERRORS[scenario.status]}
    body = {"error": inner | {"details": details}}
    return Answer(pieces=(json.dumps(body).encode(),), status=scenario.status)


def _answer(asked: Asked, pieces: tuple[bytes, ...], kind: str | None = None) -> Answer:
    return Answer(
        pieces=pieces,
        content_type=kind or "application/json; charset=UTF-8",
        streamed=kind is not None,
        cut=kind is not None and asked.scenario.breaks == "cut",
        response_id=_response_id(asked),
        response_model=model(asked),
    )


def _chunks(asked: Asked) -> Iterator[dict[str, Any]]:
    parts = list(_parts(asked))
    whole_text = parts[-1].get("text") == TEXT
    shown = [*parts[:-1], *({"text": piece} for piece in asked.pieces)] if whole_text else parts
    for index, piece in enumerate(shown):
        yield _part(asked, [piece], last=asked.scenario.breaks is None and index == len(shown) - 1)
    if asked.scenario.breaks == "error":
        yield {"error": {"code": 503, "message": REFUSAL, "status": "UNAVAILABLE"}}


def _parts(asked: Asked) -> Iterator[dict[str, Any]]:
    if asked.scenario.truth.output_reasoning:
        yield {"text": THOUGHT, "thought": True}
    if asked.scenario.finish == "tool_calls":
        yield {"functionCall": {"name": TOOL_NAME, "args": json.loads(TOOL_ARGUMENTS)}}
        return
    yield {"text": TEXT}


def _part(asked: Asked, parts: list[dict[str, Any]], last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    usage = usage_metadata(asked.scenario.truth) if last else _early_usage(asked.scenario.truth)
    if last:
        candidate["finishReason"] = _FINISHES[asked.scenario.finish]
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": model(asked),
        "responseId": _response_id(asked),
    }


def usage_metadata(truth: Truth) -> dict[str, Any]:
    """The counts as Gemini spells them."""
    counts = {
        "promptTokenCount": truth.input_tokens,
        "cachedContentTokenCount": truth.cache_read,
        "candidatesTokenCount": truth.output_visible,
        "thoughtsTokenCount": truth.output_reasoning,
        "totalTokenCount": truth.total_tokens,
    }
    given: dict[str, Any] = {key: count for key, count in counts.items() if count}
    return given | {"promptTokensDetails": [{"modality": "TEXT", "tokenCount": truth.input_tokens}]}


def _early_usage(truth: Truth) -> dict[str, Any]:
    return {"promptTokenCount": truth.input_tokens, "totalTokenCount": truth.input_tokens}


def model(asked: Asked) -> str:
    """The model in the path."""
    found = _MODEL.search(asked.path)
    return found[1] if found else ""


def _response_id(asked: Asked) -> str:
    return digits(asked.number, "gemini", 22)
