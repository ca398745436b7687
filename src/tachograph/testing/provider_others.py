"""The simulated provider's Cohere v2 and Ollama.

In: `Asked`. Out: `Answer`, as providers.md A7 and A10 describe the bodies: Cohere says no model and bills less than it
saw; Ollama streams lines of JSON, by default, and has no id.
What it must never know: a clock, a socket.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tachograph.testing.provider_truth import (
    REFUSAL,
    TEXT,
    TOOL_ARGUMENTS,
    TOOL_NAME,
    Answer,
    Asked,
    Truth,
    digits,
    uuid,
)

_COHERE_FINISHES = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "content_filter": "ERROR"}
PREAMBLE_TOKENS = 200  # tokens that Cohere's model saw and that are not billed


def cohere_chat(asked: Asked) -> Answer:
    """`POST /v2/chat`."""
    if asked.fails:
        return cohere_error(asked)
    answer_id, scenario = uuid(asked.number, "cohere"), asked.scenario
    if asked.body.get("stream"):
        pieces = tuple(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in _cohere_events(asked))
        ending = () if scenario.breaks else (b"data: [DONE]\n\n",)
        kind, cut = "text/event-stream", scenario.breaks == "cut"
        return Answer(pieces=(*pieces, *ending), content_type=kind, streamed=True, cut=cut, response_id=answer_id)
    message: dict[str, Any] = {"role": "assistant", "content": [{"type": "text", "text": TEXT}]}
    if scenario.finish == "tool_calls":
        message = {"role": "assistant", "tool_plan": "Ask for the weather.", "tool_calls": [_cohere_call(asked)]}
    finish, counted = _COHERE_FINISHES[scenario.finish], cohere_usage(scenario.truth)
    body = {"id": answer_id, "message": message, "finish_reason": finish, "usage": counted}
    return Answer(pieces=(json.dumps(body).encode(),), response_id=answer_id)


def cohere_error(asked: Asked) -> Answer:
    """The error of the request's scenario."""
    body = {"id": uuid(asked.number, "cohere"), "message": REFUSAL}
    return Answer(pieces=(json.dumps(body).encode(),), status=asked.scenario.status)


def _cohere_events(asked: Asked) -> Iterator[dict[str, Any]]:
    scenario = asked.scenario
    start = {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}}
    yield {"type": "message-start", "id": uuid(asked.number, "cohere"), "delta": start}
    yield from _cohere_tool(asked) if scenario.finish == "tool_calls" else _cohere_text(asked)
    if scenario.breaks == "cut":
        return
    delta: dict[str, Any] = {"finish_reason": _COHERE_FINISHES[scenario.finish], "usage": cohere_usage(scenario.truth)}
    if scenario.breaks == "error":
        delta = {"finish_reason": "ERROR", "error": REFUSAL}
    yield {"type": "message-end", "delta": delta}


def _cohere_text(asked: Asked) -> Iterator[dict[str, Any]]:
    opened = {"message": {"content": {"type": "text", "text": ""}}}
    yield {"type": "content-start", "index": 0, "delta": opened}
    for piece in asked.pieces:
        yield {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": piece}}}}
    yield {"type": "content-end", "index": 0}


def _cohere_tool(asked: Asked) -> Iterator[dict[str, Any]]:
    call = _cohere_call(asked)
    opened = call | {"function": call["function"] | {"arguments": ""}}
    yield {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": opened}}}
    argued = {"message": {"tool_calls": {"function": {"arguments": TOOL_ARGUMENTS}}}}
    yield {"type": "tool-call-delta", "index": 0, "delta": argued}
    yield {"type": "tool-call-end", "index": 0}


def _cohere_call(asked: Asked) -> dict[str, Any]:
    function = {"name": TOOL_NAME, "arguments": TOOL_ARGUMENTS}
    return {"id": f"{TOOL_NAME}_" + digits(asked.number, "tool", 12), "type": "function", "function": function}


def cohere_usage(truth: Truth) -> dict[str, Any]:
    """The counts as Cohere spells them, in floats."""
    billed = {"input_tokens": float(truth.input_tokens), "output_tokens": float(truth.output_tokens)}
    seen = billed | {"input_tokens": float(truth.input_tokens + PREAMBLE_TOKENS)}
    if truth.output_reasoning:
        seen["reasoning_tokens"] = float(truth.output_reasoning)
    usage: dict[str, Any] = {"billed_units": billed, "tokens": seen}
    return usage | ({"cached_tokens": float(truth.cache_read)} if truth.cache_read else {})


def ollama_chat(asked: Asked) -> Answer:
    """`POST /api/chat`: lines of JSON unless `stream` is false."""
    if asked.fails:
        body = {"error": REFUSAL}
        return Answer(pieces=(json.dumps(body).encode(),), status=asked.scenario.status)
    model = str(asked.body.get("model", ""))
    if asked.body.get("stream") is False:
        whole = _ollama_end(asked) | {"message": _ollama_message(asked, TEXT)}
        return Answer(pieces=(json.dumps(whole).encode(),), response_model=model)
    lines = tuple(json.dumps(line).encode() + b"\n" for line in _ollama_lines(asked))
    cut = asked.scenario.breaks == "cut"
    return Answer(pieces=lines, content_type="application/x-ndjson", streamed=True, cut=cut, response_model=model)


def _ollama_lines(asked: Asked) -> Iterator[dict[str, Any]]:
    if asked.scenario.finish == "tool_calls":
        yield _ollama_head(asked) | {"message": _ollama_message(asked, ""), "done": False}
    else:
        for piece in asked.pieces:
            yield _ollama_head(asked) | {"message": {"role": "assistant", "content": piece}, "done": False}
    if asked.scenario.breaks == "error":
        yield {"error": REFUSAL}
    if asked.scenario.breaks is None:
        yield _ollama_end(asked) | {"message": {"role": "assistant", "content": ""}}


def _ollama_message(asked: Asked, text: str) -> dict[str, Any]:
    if asked.scenario.finish != "tool_calls":
        return {"role": "assistant", "content": text}
    function = {"name": TOOL_NAME, "arguments": json.loads(TOOL_ARGUMENTS)}
    return {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}


def _ollama_head(asked: Asked) -> dict[str, Any]:
    return {"model": str(asked.body.get("model", "")), "created_at": "2026-09-21T14:13:20.000000Z"}


def _ollama_end(asked: Asked) -> dict[str, Any]:
    truth = asked.scenario.truth
    cached = {"prompt_eval_cached_count": truth.cache_read} if truth.cache_read else {}
    return (
        _ollama_head(asked)
        | cached
        | {
            "done": True,
            "done_reason": "length" if asked.scenario.finish == "length" else "stop",
            "total_duration": 12_000_000,
            "load_duration": 1_000_000,
            "prompt_eval_count": truth.input_tokens,
            "prompt_eval_duration": 4_000_000,
            "eval_count": truth.output_tokens,
            "eval_duration": 7_000_000,
        }
    )
