"""The simulated provider's Cohere v1 chat, and its embeddings in both versions.

In: `Asked`. Out: `Answer`, as providers.md A7 describes the bodies: a stream of version 1 is lines of JSON, whose last
one holds the whole answer once more.
What it must never know: a clock, a socket.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tachograph.testing.provider_others import cohere_error, cohere_usage
from tachograph.testing.provider_truth import (
    TEXT,
    TOOL_ARGUMENTS,
    TOOL_NAME,
    Answer,
    Asked,
    uuid,
)

_FINISHES = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "COMPLETE", "content_filter": "ERROR_TOXIC"}


def chat(asked: Asked) -> Answer:
    """`POST /v1/chat`."""
    if asked.fails:
        return cohere_error(asked)
    answer_id = uuid(asked.number, "cohere")
    if not asked.body.get("stream"):
        return Answer(pieces=(json.dumps(_whole(asked)).encode(),), response_id=answer_id)
    lines = tuple(json.dumps(line).encode() + b"\n" for line in _lines(asked))
    kind, cut = "application/stream+json", asked.scenario.breaks == "cut"
    return Answer(pieces=lines, content_type=kind, streamed=True, cut=cut, response_id=answer_id)


def embed(asked: Asked) -> Answer:
    """`POST /v1/embed` and `/v2/embed`: input alone is counted."""
    if asked.fails:
        return cohere_error(asked)
    answer_id, texts = uuid(asked.number, "cohere"), asked.body.get("texts") or [""]
    meta = {"billed_units": {"input_tokens": asked.scenario.truth.input_tokens}}
    body = {"id": answer_id, "embeddings": {"float": [[0.25, -0.5, 0.125]] * len(texts)}, "texts": texts, "meta": meta}
    pieces = (json.dumps(body | {"response_type": "embeddings_by_type"}).encode(),)
    return Answer(pieces=pieces, response_id=answer_id)


def _whole(asked: Asked) -> dict[str, Any]:
    counted = cohere_usage(asked.scenario.truth)
    head = {"response_id": uuid(asked.number, "cohere"), "generation_id": uuid(asked.number, "generation")}
    tail = {"finish_reason": _FINISHES[asked.scenario.finish], "meta": {"api_version": {"version": "1"}, **counted}}
    if asked.scenario.finish == "tool_calls":
        call = {"name": TOOL_NAME, "parameters": json.loads(TOOL_ARGUMENTS)}
        return head | {"text": "", "tool_calls": [call]} | tail
    return head | {"text": TEXT} | tail


def _lines(asked: Asked) -> Iterator[dict[str, Any]]:
    whole, going = _whole(asked), {"is_finished": False}
    yield going | {"event_type": "stream-start", "generation_id": whole["generation_id"]}
    if "tool_calls" in whole:
        yield going | {"event_type": "tool-calls-generation", "tool_calls": whole["tool_calls"]}
    else:
        for piece in asked.pieces:
            yield going | {"event_type": "text-generation", "text": piece}
    if asked.scenario.breaks is None:
        reason = {"finish_reason": whole["finish_reason"]}
        yield {"is_finished": True, "event_type": "stream-end", **reason, "response": whole}
