"""Cohere: chat in both versions, generate, rerank, embed, classify.

In: JSON, the v2 server-sent events (`message-start` ... `message-end`), the v1 JSON lines (`event_type`). Out: Found.

Two counts come with each answer: `billed_units`, what is paid, and `tokens`, what the model saw, with Cohere's own
preamble and the cached part of it. **The parts of the Call are `billed_units`**: the price of a call is the sum of
products over its parts, and that has to be the bill. `tokens` and `cached_tokens` stay in `usage_raw` for capacity;
cached tokens lie within `tokens`, not within what is billed, so the Call has no `cache_read`. Only where no billed
tokens came are `tokens` booked instead. No answer names its model. Source: providers.md A0, A7.
What it must never know: prices, framing.
"""

from __future__ import annotations

import re
from typing import Any

from tachograph.wire import tokens as arithmetic
from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, merged, name, number
from tachograph.wire.repeats import Varying
from tachograph.wire.tokens import Tokens

_UNITS = {"search_units": "search_units", "images": "images", "classifications": "classifications"}
_VERSION_2 = re.compile(r"/v2/(chat|embed)$")
_COHERE = "cohere"


# chat, generate


def event(found: Found, event_name: str, value: Any) -> bool:
    """An event of a v2 stream, a line of a v1 stream, or a whole answer of either."""
    body = mapping(value)
    if value == "[DONE]":
        found.terminal = True
        return False
    if name(body.get("event_type")) or "is_finished" in body:
        return _line(found, body)
    kind = name(body.get("type"))
    if (kind and "delta" in body) or kind in ("message-start", "message-end", "content-end", "tool-call-end"):
        return _event(found, kind or "", body)
    return _whole(found, body)


def _event(found: Found, kind: str, body: dict[str, Any]) -> bool:
    """Version 2."""
    found.response_id = name(body.get("id")) or found.response_id
    delta = mapping(body.get("delta"))
    message = mapping(delta.get("message"))
    if kind == "tool-call-start":
        call = mapping(message.get("tool_calls"))
        found.tool_ids.add(name(call.get("id")) or f"{count(body.get('index'))}")
        return True
    if kind == "message-end":
        _usage(found, delta.get("usage"))
        _ended(found, delta)
        found.terminal = True
    piece = mapping(message.get("content"))
    found.reasoning_seen = found.reasoning_seen or bool(piece.get("thinking"))
    arguments = mapping(mapping(message.get("tool_calls")).get("function")).get("arguments")
    return bool(piece.get("text") or piece.get("thinking") or message.get("tool_plan") or arguments)


def _line(found: Found, body: dict[str, Any]) -> bool:
    """Version 1: the last line holds the whole answer once more."""
    found.response_id = name(body.get("response_id")) or found.response_id
    response = mapping(body.get("response"))
    if response:
        _whole(found, response)
    if body.get("is_finished") is True or body.get("event_type") == "stream-end":
        _ended(found, body)
        found.terminal = True
        return False
    return bool(body.get("text") or body.get("tool_calls") or body.get("tool_call_delta"))


def _whole(found: Found, body: dict[str, Any]) -> bool:
    found.response_id = name(body.get("response_id")) or name(body.get("id")) or found.response_id
    _usage(found, body.get("usage"))
    _usage(found, body.get("meta"))
    _ended(found, body)
    message = mapping(body.get("message"))
    calls = items(message.get("tool_calls")) or items(body.get("tool_calls"))
    if calls:
        found.tool_calls = len(calls)
    generations = [mapping(generation) for generation in items(body.get("generations"))]
    for generation in generations:
        _ended(found, generation)
    found.terminal = True
    return bool(calls or message.get("content") or body.get("text") or generations)


def _ended(found: Found, holder: dict[str, Any]) -> None:
    reason = name(holder.get("finish_reason"))
    if reason:
        finished(found, reason)


def _usage(found: Found, value: Any) -> None:
    """`usage` of version 2 and `meta` of version 1 hold the same counts; the warnings of `meta` are text."""
    members = ("billed_units", "tokens", "cached_tokens", "prompt_tokens", "total_tokens", "completion_tokens")
    usage = {key: mapping(value)[key] for key in members if mapping(value).get(key) is not None}
    found.usage = merged(found.usage, usage)
    billed = mapping(mapping(found.usage).get("billed_units"))
    for unit, key in _UNITS.items():
        units = count(billed.get(unit))
        if units is not None:
            found.price_context[key] = str(units)


def tokens(found: Found) -> Tokens | None:
    """What is billed; where no billed tokens came, what the model saw."""
    usage = found.usage or {}
    billed, seen = mapping(usage.get("billed_units")), mapping(usage.get("tokens"))
    if not usage:
        return None
    if count(billed.get("input_tokens")) is None and count(billed.get("output_tokens")) is None and seen:
        return arithmetic.inclusive(
            input_tokens=count(seen.get("input_tokens")),
            output_tokens=count(seen.get("output_tokens")),
            cache_read=count(usage.get("cached_tokens")),
            reasoning=count(seen.get("reasoning_tokens")),
        )
    images = count(billed.get("image_tokens"))
    text = count(billed.get("input_tokens"))
    counted = arithmetic.inclusive(
        input_tokens=text if images is None else (text or 0) + images,
        output_tokens=count(billed.get("output_tokens")),
        reasoning=count(seen.get("reasoning_tokens")),
        image_input=images,
    )
    if counted.output_visible is None:
        counted.output_reasoning = None
    return counted


# rerank, embed, classify


def unit_event(found: Found, event_name: str, value: Any) -> bool:
    """An answer whose use is counted in units: searches, images, classifications, tokens of embeddings."""
    body = mapping(value)
    found.response_id = name(body.get("id")) or found.response_id
    found.response_model = name(body.get("model")) or found.response_model
    _usage(found, body.get("meta"))
    _usage(found, body.get("usage"))
    found.terminal = True
    return False


def unit_tokens(found: Found) -> Tokens | None:
    """Of Cohere what is billed; other servers with a `/rerank` count tokens in OpenAI's words."""
    usage = found.usage or {}
    asked = count(usage.get("prompt_tokens"))
    asked = count(usage.get("total_tokens")) if asked is None else asked
    return Tokens(input_uncached=asked) if asked is not None else tokens(found)


def request(found: Found, asked: Asked) -> None:
    """Model and limits."""
    members = asked.members
    found.request_model = name(members.get("model"))
    found.max_output_tokens = count(members.get("max_tokens"))
    found.temperature = number(members.get("temperature"))
    found.conversation_id = name(members.get("conversation_id"))


def _hosted(*ends: str) -> Any:
    """Paths that others use too are Cohere's on a host that names it, or where nobody kept the host."""
    return lambda asked: (_COHERE in asked.host + asked.path or not asked.host) and asked.path.endswith(ends)


def _chats(asked: Asked) -> bool:
    found = _VERSION_2.search(asked.path)
    if found:
        return found.group(1) == "chat"
    return bool(_hosted("/v1/chat")(asked))


def _embeds(asked: Asked) -> bool:
    found = _VERSION_2.search(asked.path)
    if found:
        return found.group(1) == "embed"
    return bool(_hosted("/v1/embed")(asked))


_MESSAGE = "delta.message."
_VARYING = Varying(
    *(_MESSAGE + member for member in ("content.text", "content.thinking", "tool_plan")),
    _MESSAGE + "tool_calls.function.arguments",
)
CHAT = Format("cohere.chat", "chat", _chats, request, event, tokens, varying=_VARYING)
GENERATE = Format(
    "cohere.generate", "text_completion", _hosted("/v1/generate", "/v1/summarize"), request, event, tokens
)
EMBED = Format("cohere.embed", "embeddings", _embeds, request, unit_event, unit_tokens)
RERANK = Format(
    "cohere.rerank", "rerank", lambda asked: asked.path.endswith("/rerank"), request, unit_event, unit_tokens
)
CLASSIFY = Format("cohere.classify", "other", _hosted("/v1/classify"), request, unit_event, unit_tokens)
