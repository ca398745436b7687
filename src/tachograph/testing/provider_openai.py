"""The simulated provider's OpenAI kinds: chat completions, responses, embeddings; and those who imitate them.

In: `Asked`. Out: `Answer`, as providers.md A2, A6, A7 and A8 describe the bodies.
What it must never know: a clock, a socket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tachograph.testing.provider_truth import (
    MOMENT_SECONDS,
    REFUSAL,
    TEXT,
    THOUGHT,
    TOOL_ARGUMENTS,
    TOOL_ARGUMENTS_PIECES,
    TOOL_NAME,
    Answer,
    Asked,
    Truth,
    digits,
)

_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/")
_ERRORS = {
    400: ("invalid_request_error", "invalid_value"),
    401: ("invalid_request_error", "invalid_api_key"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("server_error", "overloaded"),
}


def chat(asked: Asked) -> Answer:
    """`POST /v1/chat/completions` of OpenAI; in a stream it counts only where `stream_options` asks for it."""
    options = asked.body.get("stream_options") or {}
    return _chat(asked, "chatcmpl-" + digits(asked.number, "chat", 29), bool(options.get("include_usage")), "apart")


def azure_chat(asked: Asked) -> Answer:
    """`POST /openai/deployments/{deployment}/chat/completions`: the deployment is the model; filters speak first."""
    named = replace(asked, body={"model": deployment(asked)} | asked.body)
    answer = chat(named)
    if answer.status != 200 or not answer.streamed:
        return answer
    filtered = {"hate": {"filtered": False, "severity": "safe"}}
    results = [{"prompt_index": 0, "content_filter_results": filtered}]
    first = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": results}
    return replace(answer, pieces=(_data(first), *answer.pieces))


def deployment(asked: Asked) -> str:
    """The deployment in the path."""
    found = _DEPLOYMENT.search(asked.path)
    return found[1] if found else ""


def mistral_chat(asked: Asked) -> Answer:
    """Mistral's: counts in every stream, on the chunk that ends it; a tool call comes in one piece."""
    return _chat(asked, digits(asked.number, "mistral", 32), True, "last")


def together_chat(asked: Asked) -> Answer:
    """Together's: counts in every stream, on the chunk that ends it."""
    return _chat(asked, digits(asked.number, "together", 16) + "-FRA", True, "last")


def groq_chat(asked: Asked) -> Answer:
    """Groq's: counts in every stream, on the chunk that ends it, twice."""
    return _chat(asked, "chatcmpl-" + digits(asked.number, "groq", 32), True, "twice")


def responses(asked: Asked) -> Answer:
    """`POST /v1/responses`."""
    if asked.fails:
        return error(asked)
    response_id = "resp_" + digits(asked.number, "response", 48)
    whole = _response(asked, response_id, "incomplete" if asked.scenario.finish == "length" else "completed")
    if not asked.body.get("stream"):
        return _whole(asked, whole, response_id)
    return _stream(asked, tuple(_response_events(asked, whole)), response_id)


def embeddings(asked: Asked) -> Answer:
    """`POST /v1/embeddings`: three numbers for each text; input alone is counted."""
    if asked.fails:
        return error(asked)
    given = asked.body.get("input", "")
    texts = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    counted = asked.scenario.truth.input_tokens
    body: dict[str, Any] = {
        "object": "list",
        "data": [{"object": "embedding", "index": i, "embedding": [0.25, -0.5, 0.125]} for i in range(len(texts))],
        "model": asked.model,
        "usage": {"prompt_tokens": counted, "total_tokens": counted},
    }
    if asked.path.startswith("/mistral"):
        body = {"id": digits(asked.number, "mistral", 32)} | body
    return _whole(asked, body, body.get("id"))


def error(asked: Asked) -> Answer:
    """The error of the request's scenario."""
    scenario = asked.scenario
    kind, code = _ERRORS[scenario.status]
    body = {"error": {"message": REFUSAL, "type": kind, "param": None, "code": code}}
    after = scenario.retry_after_seconds
    waits = () if after is None else (("retry-after", str(after)), ("retry-after-ms", str(after * 1000)))
    return Answer(pieces=(_json(body),), status=scenario.status, headers=(*_headers(asked), *waits))


def _chat(asked: Asked, response_id: str, counts: bool, where: str) -> Answer:
    if asked.fails:
        return error(asked)
    if not asked.body.get("stream"):
        return _whole(asked, _completion(asked, response_id), response_id)
    events = [_data(chunk) for chunk in _chunks(asked, response_id, counts, where)]
    if asked.scenario.breaks is None:
        events.append(b"data: [DONE]\n\n")
    return _stream(asked, tuple(events), response_id)


def _completion(asked: Asked, response_id: str) -> dict[str, Any]:
    tools = asked.scenario.finish == "tool_calls"
    message: dict[str, Any] = {"role": "assistant", "content": None if tools else TEXT, "refusal": None}
    if tools:
        message["tool_calls"] = [_tool_call(asked, TOOL_ARGUMENTS)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": asked.scenario.finish}
    head = _chat_head(asked, response_id, "chat.completion")
    return head | {"choices": [choice], "usage": chat_usage(asked.scenario.truth)}


def _chunks(asked: Asked, response_id: str, counts: bool, where: str) -> Iterator[dict[str, Any]]:
    """where: which chunk has the counts: one `apart` without choices, the `last` one, or the last one `twice`."""
    head = _chat_head(asked, response_id, "chat.completion.chunk")
    silent: dict[str, Any] = {"usage": None} if counts and where == "apart" else {}
    for delta in _mistral_deltas(asked) if asked.path.startswith("/mistral") else _deltas(asked):
        yield head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} | silent
    if asked.scenario.breaks == "error":
        yield {"error": {"message": REFUSAL, "type": "server_error", "code": None, "param": None}}
    if asked.scenario.breaks is not None:
        return
    usage = chat_usage(asked.scenario.truth)
    ending = head | {"choices": [{"index": 0, "delta": {}, "finish_reason": asked.scenario.finish}]} | silent
    if where in ("last", "twice"):
        ending["usage"] = usage
    if where == "twice":
        ending["x_groq"] = {"id": "req_" + response_id, "usage": usage}
    yield ending
    if counts and where == "apart":
        yield head | {"choices": [], "usage": usage}


def _deltas(asked: Asked) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    if asked.scenario.finish == "tool_calls":
        yield {"tool_calls": [{"index": 0} | _tool_call(asked, "")]}
        for piece in TOOL_ARGUMENTS_PIECES:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        return
    for piece in asked.pieces:
        yield {"content": piece}


def _mistral_deltas(asked: Asked) -> Iterator[dict[str, Any]]:
    if asked.scenario.finish != "tool_calls":
        yield from _deltas(asked)
        return
    yield {"role": "assistant", "content": ""}
    yield {"tool_calls": [{"index": 0} | _tool_call(asked, TOOL_ARGUMENTS)]}


def _tool_call(asked: Asked, arguments: str) -> dict[str, Any]:
    call_id = "call_" + digits(asked.number, "tool", 24)
    return {"id": call_id, "type": "function", "function": {"name": TOOL_NAME, "arguments": arguments}}


def _chat_head(asked: Asked, response_id: str, kind: str) -> dict[str, Any]:
    head = {"id": response_id, "object": kind, "created": MOMENT_SECONDS, "model": asked.model}
    return head | {"service_tier": "default", "system_fingerprint": "fp_5a1b2c3d4e"}


def chat_usage(truth: Truth) -> dict[str, Any]:
    """The counts as chat completions spell them: cached and reasoning inside the totals."""
    details = {"cached_tokens": truth.cache_read, "audio_tokens": 0}
    if truth.cache_write:
        details["cache_write_tokens"] = truth.cache_write
    return {
        "prompt_tokens": truth.input_tokens,
        "completion_tokens": truth.output_tokens,
        "total_tokens": truth.total_tokens,
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": truth.output_reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _response(asked: Asked, response_id: str, status: str) -> dict[str, Any]:
    done = status in ("completed", "incomplete")
    return {
        "id": response_id,
        "object": "response",
        "created_at": MOMENT_SECONDS,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "model": asked.model,
        "output": list(_output_items(asked)) if done else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": asked.body.get("tools") or [],
        "top_p": 1.0,
        "service_tier": "default" if done else "auto",
        "usage": response_usage(asked.scenario.truth) if done else None,
    }


def response_usage(truth: Truth) -> dict[str, Any]:
    """The counts as responses spell them."""
    details = {"cached_tokens": truth.cache_read, "cache_write_tokens": truth.cache_write}
    return {
        "input_tokens": truth.input_tokens,
        "input_tokens_details": details,
        "output_tokens": truth.output_tokens,
        "output_tokens_details": {"reasoning_tokens": truth.output_reasoning},
        "total_tokens": truth.total_tokens,
    }


def _output_items(asked: Asked) -> Iterator[dict[str, Any]]:
    if asked.scenario.truth.output_reasoning:
        summary = [{"type": "summary_text", "text": THOUGHT}]
        yield {"type": "reasoning", "id": "rs_" + digits(asked.number, "rs", 48), "summary": summary}
    if asked.scenario.finish == "tool_calls":
        yield {
            "type": "function_call",
            "id": "fc_" + digits(asked.number, "fc", 48),
            "call_id": "call_" + digits(asked.number, "tool", 24),
            "name": TOOL_NAME,
            "arguments": TOOL_ARGUMENTS,
            "status": "completed",
        }
        return
    part = {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}
    yield {
        "type": "message",
        "id": "msg_" + digits(asked.number, "msg", 48),
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def _response_events(asked: Asked, whole: dict[str, Any]) -> Iterator[bytes]:
    events = list(_unnumbered(asked, whole))
    for number, event in enumerate(events):
        yield f"event: {event['type']}\n".encode() + _data(event | {"sequence_number": number})


def _unnumbered(asked: Asked, whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    started = _response(asked, whole["id"], "in_progress")
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    for index, item in enumerate(whole["output"]):
        yield from _item_events(asked, index, item)
    if asked.scenario.breaks == "error":
        yield {"type": "error", "code": "server_error", "message": REFUSAL, "param": None}
    if asked.scenario.breaks is None:
        yield {"type": "response." + whole["status"], "response": whole}


def _item_events(asked: Asked, index: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place = {"item_id": item["id"], "output_index": index}
    opened: dict[str, dict[str, Any]] = {
        "message": {"content": []},
        "function_call": {"arguments": ""},
        "reasoning": {"summary": []},
    }
    yield {"type": "response.output_item.added", "output_index": index, "item": item | opened[item["type"]]}
    if item["type"] == "function_call":
        for piece in TOOL_ARGUMENTS_PIECES:
            yield {"type": "response.function_call_arguments.delta", "delta": piece} | place
        yield {"type": "response.function_call_arguments.done", "arguments": TOOL_ARGUMENTS, "name": TOOL_NAME} | place
    if item["type"] == "message":
        yield from _text_events(asked, place | {"content_index": 0}, item["content"][0])
    if item["type"] == "reasoning":
        yield {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": THOUGHT} | place
    if asked.scenario.breaks is None:
        yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _text_events(asked: Asked, place: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "response.content_part.added", "part": part | {"text": ""}} | place
    for piece in asked.pieces:
        yield {"type": "response.output_text.delta", "delta": piece, "logprobs": []} | place
    if asked.scenario.breaks is None:
        yield {"type": "response.output_text.done", "text": "".join(asked.pieces), "logprobs": []} | place
        yield {"type": "response.content_part.done", "part": part} | place


def _whole(asked: Asked, body: dict[str, Any], response_id: str | None) -> Answer:
    return Answer(pieces=(_json(body),), headers=_headers(asked), response_id=response_id, response_model=asked.model)


def _stream(asked: Asked, events: tuple[bytes, ...], response_id: str) -> Answer:
    return Answer(
        pieces=events,
        content_type="text/event-stream; charset=utf-8",
        headers=_headers(asked),
        streamed=True,
        cut=asked.scenario.breaks == "cut",
        response_id=response_id,
        response_model=asked.model,
    )


def _headers(asked: Asked) -> tuple[tuple[str, str], ...]:
    return (
        ("x-request-id", "req_" + digits(asked.number, "request", 32)),
        ("openai-processing-ms", "12"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-reset-requests", "6ms"),
    )


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _data(value: Any) -> bytes:
    return b"data: " + _json(value) + b"\n\n"
