"""OpenAI chat completions and everyone who speaks them.

In: `POST .../chat/completions` at OpenAI, Azure, Mistral, DeepSeek, Groq, xAI, Together, Fireworks, OpenRouter,
Perplexity, Ollama /v1, vLLM, SGLang, llama.cpp, TGI, Cerebras, Baseten, Hugging Face, Alibaba, Moonshot, Z.ai, Gemini's
compatible endpoint, and servers unknown to us. Out: Found. The differences between these servers are members
that only one of them sends (`x_groq`, `timings`, `cost_in_usd_ticks`, ...): each is read wherever it appears, so that a
proxy in between changes nothing. Source: providers.md A0, A2, A6 to A11, A14.
"""

from __future__ import annotations

from typing import Any

from tachograph.wire import errors, marks
from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, merged, name, number
from tachograph.wire.openai_usage import (
    chat_tokens,
    created,
    is_reasoning,
    iteration,
    request_facts,
    take_usage,
    usage_tokens,
)
from tachograph.wire.repeats import Varying
from tachograph.wire.tokens import Tokens

# Members beside `usage` that hold counts or times, kept with it.
_BESIDE = ("timings", "time_info", "perf_metrics")
_TIMES = frozenset(("total_time", "queue_time", "time_info", "timings"))
_BEYOND = frozenset((*_BESIDE, "x_groq", "usage_breakdown"))
_COUNTING = frozenset((*_BEYOND, "usage"))
_CALLING = frozenset(("tool_calls", "function_call"))
_REASONING = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
_VISIBLE = ("refusal", "tool_calls", "function_call", "audio", "images")
_OTHER = frozenset((*_REASONING, *_VISIBLE))


def event(found: Found, event_name: str, value: Any) -> bool:
    """A chunk of a stream, or a whole completion: both have `choices`, one with `delta`, one with `message`."""
    if value == "[DONE]":
        found.terminal = True
        return False
    body = mapping(value)
    identity(found, body)
    _usage(found, body)
    content = False
    for choice in items(body.get("choices")):
        content = _choice(found, mapping(choice)) or content
    if body.get("object") == "chat.completion.done":  # Perplexity's last chunk, in place of [DONE]
        found.terminal = True
    return content


def identity(found: Found, body: dict[str, Any]) -> None:
    """Model, ids, tier, time: the last name of the model counts, the first id (Groq ends with the id `stub`)."""
    if found.provider == marks.UNKNOWN:
        marks.by_body(found, body)
    model, tier = body.get("model"), body.get("service_tier")
    if model != found.response_model:
        found.response_model = name(model) or found.response_model
    if found.response_id is None:
        found.response_id = name(body.get("id"))
    if found.request_id is None and ("request_id" in body or "x_groq" in body):
        found.request_id = name(body.get("request_id")) or name(mapping(body.get("x_groq")).get("id"))
    if tier is not None:
        found.service_tier = name(tier) or found.service_tier
    if found.created_at is None:
        found.created_at = created(body.get("created"))
    if found.provider == "openrouter" and (upstream := name(body.get("provider"))):
        found.price_context["route"] = upstream


def _choice(found: Found, choice: dict[str, Any]) -> bool:
    finish = name(choice.get("finish_reason"))
    if finish is None and "finish_details" in choice:  # GPT-4 vision
        finish = name(mapping(choice["finish_details"]).get("type"))
    if finish:
        finished(found, finish)
        found.terminal = True  # the answer is whole; Perplexity and many proxies never send [DONE]
    if choice.get("error") and found.error_type is None:  # OpenRouter, also in an answer that is no stream
        errors.note(found, {"error": choice["error"]}, None, {})
    if choice.get("usage"):  # Moonshot's streams
        take_usage(found, choice["usage"])
    message, piece = mapping(choice.get("message")), choice.get("delta")
    if not isinstance(piece, dict):
        piece = message
    if not (_CALLING.isdisjoint(piece) and _CALLING.isdisjoint(message)):
        index = count(choice.get("index")) or 0
        _tools(found, index, piece if items(piece.get("tool_calls")) or piece.get("function_call") else message)
    return _content(found, piece, choice.get("text") if not piece and not message else None)


def _tools(found: Found, index: int, message: dict[str, Any]) -> None:
    for position, call in enumerate(map(mapping, items(message.get("tool_calls")))):
        number_of_call = count(call.get("index"))
        _tool(found, f"{index}/{position if number_of_call is None else number_of_call}", call)
    if any(mapping(message.get("function_call")).values()):  # Snowflake writes one of empty strings
        found.tool_ids.add(f"{index}/function")


def _tool(found: Found, place: str, call: dict[str, Any]) -> None:
    """One call, or a piece of one. A place holds one call, except that Gemini gives every call the same.

    There each comes with a name and an id; pieces of one call have the name once (vLLM makes up an id for each).
    """
    ident = name(call.get("id"))
    if ident and name(mapping(call.get("function")).get("name")):
        found.tool_ids.discard(place)
        found.tool_ids.add(f"{place}/{ident}")
    elif not any(known.startswith(f"{place}/") for known in found.tool_ids):
        found.tool_ids.add(place)


def _content(found: Found, piece: dict[str, Any], text: Any) -> bool:
    """Whether a piece of an answer carries content; counted, since one piece is close to one token."""
    thought, said = _spoken(piece.get("content"))
    if not (thought and said) and not _OTHER.isdisjoint(piece):
        thought = thought or any(map(piece.get, _REASONING))
        said = said or any(map(piece.get, _VISIBLE))
    said = said or bool(text)
    if thought:
        found.reasoning_seen = True
    if found.provider != "perplexity":  # whose pieces are whole sentences
        found.visible_pieces += said
        found.reasoning_pieces += thought and not said
    return thought or said


def _spoken(content: Any) -> tuple[bool, bool]:
    """(thought, said) of `content`: text, or Mistral's list of parts."""
    if not isinstance(content, list):
        return False, bool(content)
    kinds = [mapping(part).get("type") for part in content]
    return "thinking" in kinds, any(kind != "thinking" for kind in kinds)


def _usage(found: Found, body: dict[str, Any]) -> None:
    if _COUNTING.isdisjoint(body) or not any(map(body.get, _COUNTING)):
        return  # most chunks of a stream
    groq = mapping(body.get("x_groq"))
    if groq:
        take_usage(found, groq.get("usage"))  # the same counts as `usage`, where both come
    take_usage(found, body.get("usage"))
    if not _BEYOND.isdisjoint(body):
        _beyond(found, body, groq)
    if not (_TIMES.isdisjoint(found.usage or ()) and _TIMES.isdisjoint(body)):
        _times(found, mapping(found.usage), body)


def _beyond(found: Found, body: dict[str, Any], groq: dict[str, Any]) -> None:
    """What counts beside the usage."""
    if groq.get("error") and found.error_type is None:
        errors.note(found, {"error": groq["error"]}, None, {})
    for member in _BESIDE:
        if member in body and mapping(body[member]):
            found.usage_copies[member] = mapping(body[member])
    for holder in (body, groq):
        inner = merged(None, holder["usage_breakdown"]) if "usage_breakdown" in holder else None
        if inner:
            found.usage_copies["usage_breakdown"] = inner


def _times(found: Found, usage: dict[str, Any], body: dict[str, Any]) -> None:
    total, queue = number(usage.get("total_time")), number(usage.get("queue_time"))
    info = mapping(body.get("time_info"))
    total = number(info.get("total_time")) if total is None else total
    queue = number(info.get("queue_time")) if queue is None else queue
    timings = mapping(body.get("timings"))
    prompt_ms, predicted_ms = number(timings.get("prompt_ms")), number(timings.get("predicted_ms"))
    if total is not None and total >= 0:
        found.server_ms = round(total * 1000, 3)
    elif prompt_ms is not None and predicted_ms is not None and prompt_ms + predicted_ms >= 0:
        found.server_ms = round(prompt_ms + predicted_ms, 3)
    if queue is not None and queue >= 0:
        found.queue_ms = round(queue * 1000, 3)


def tokens(found: Found) -> Tokens | None:
    """The parts; and, of a system of several models (Groq's compound), what each inner call used.

    The inner calls are taken only where they add up to the whole: recorded answers repeat the whole for each.
    """
    whole = chat_tokens(found)
    if "usage_breakdown" not in found.usage_copies:
        return whole
    inner = [mapping(item) for item in items(mapping(found.usage_copies.get("usage_breakdown")).get("models"))]
    if whole is None or not inner:
        return whole
    parts = [usage_tokens(mapping(item.get("usage")), reasoning_model=is_reasoning(found)) for item in inner]
    sums = [sum(getattr(part, side) or 0 for part in parts) for side in ("input_tokens", "output_tokens")]
    if sums == [whole.input_tokens or 0, whole.output_tokens or 0]:
        found.iterations = [iteration(part, name(item.get("model"))) for part, item in zip(parts, inner, strict=True)]
    else:
        whole.flags.add("breakdown_not_additive")
    return whole


def matches(asked: Asked) -> bool:
    """By path, whatever the host; Mistral's agents, Writer and Perplexity have paths of their own."""
    if asked.path.endswith(("/chat/completions", "/agents/completions", "/v1/sonar")):
        return True
    return asked.path == "/v1/chat" and (asked.host.endswith("writer.com") or "messages" in asked.members)


def request(found: Found, asked: Asked) -> None:
    """Model and limits from the body; Azure's deployment from the path."""
    request_facts(found, asked)


_DELTA = "choices.delta."
VARYING = Varying(
    *(_DELTA + member for member in ("content", "content.text", "refusal", "reasoning_content", "reasoning")),
    *(_DELTA + member for member in ("tool_calls.function.arguments", "function_call.arguments")),
    "obfuscation",
)
CHAT = Format("openai.chat", "chat", matches, request, event, tokens, varying=VARYING)
