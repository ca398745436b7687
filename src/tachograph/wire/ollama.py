"""Ollama's own API: chat, generate, embed.

In: `POST /api/chat` and `/api/generate`, which stream JSON lines unless the request says `stream: false`; `/api/embed`
and `/api/embeddings`, which never stream. Out: Found. The last line (`done: true`) counts; durations are in
nanoseconds. `prompt_eval_count` holds the cached tokens too where `prompt_eval_cached_count` is given; older servers
leave the count out when all of the prompt was cached: then the input is unknown, not zero.
Source: providers.md A0, A10.
What it must never know: prices, framing.
"""

from __future__ import annotations

from typing import Any

from tachograph.wire import marks
from tachograph.wire import tokens as arithmetic
from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, name, number
from tachograph.wire.gemini import moment
from tachograph.wire.tokens import Tokens

NANOSECONDS_PER_MS = 1_000_000
_COUNTS = ("prompt_eval_count", "prompt_eval_cached_count", "eval_count")
_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


def event(found: Found, event_name: str, value: Any) -> bool:
    """A line of a stream, or the whole answer: both have the same members."""
    body = mapping(value)
    found.response_model = name(body.get("model")) or found.response_model
    found.created_at = moment(body.get("created_at")) or found.created_at
    for member in (*_COUNTS, *_DURATIONS):
        if count(body.get(member)) is not None:
            found.usage = {**(found.usage or {}), member: body[member]}
    total = number(body.get("total_duration"))
    if total is not None and total >= 0:
        found.server_ms = round(total / NANOSECONDS_PER_MS, 3)
    if found.provider == marks.UNKNOWN and found.created_at is not None:
        found.provider = "ollama"  # on a host of any name
    content = _message(found, body)
    if body.get("error") and found.error_type == "other":
        found.error_type = "provider_error"  # it has begun to answer: what fails now is the engine
    if body.get("done") is True:
        found.terminal = True
        finished(found, name(body.get("done_reason")) or "")
        if count(body.get("prompt_eval_count")) is None and count(body.get("eval_count")) is not None:
            found.flags.add("usage_partial")
    return content


def _message(found: Found, body: dict[str, Any]) -> bool:
    message = mapping(body.get("message"))
    calls = items(message.get("tool_calls"))
    if calls:
        found.tool_calls = (found.tool_calls or 0) + len(calls)
    thinking = bool(message.get("thinking") or body.get("thinking"))
    found.reasoning_seen = found.reasoning_seen or thinking
    return thinking or bool(calls or message.get("content") or body.get("response") or body.get("image"))


def tokens(found: Found) -> Tokens | None:
    """The parts; Ollama does not itemise the thinking."""
    usage = found.usage or {}
    if not any(count(usage.get(member)) is not None for member in _COUNTS):
        return None
    return arithmetic.inclusive(
        input_tokens=count(usage.get("prompt_eval_count")),
        output_tokens=count(usage.get("eval_count")),
        cache_read=count(usage.get("prompt_eval_cached_count")),
    )


def embed_event(found: Found, event_name: str, value: Any) -> bool:
    """Vectors, and with `/api/embed` what they cost."""
    event(found, event_name, value)
    found.terminal = True
    return False


def request(found: Found, asked: Asked) -> None:
    """Model and options."""
    options = mapping(asked.members.get("options"))
    found.request_model = name(asked.members.get("model"))
    found.max_output_tokens = count(options.get("num_predict"))
    found.temperature = number(options.get("temperature"))


def _path(*ends: str) -> Any:
    return lambda asked: asked.path.endswith(ends)


CHAT = Format("ollama.chat", "chat", _path("/api/chat"), request, event, tokens, lines=True)
GENERATE = Format("ollama.generate", "text_completion", _path("/api/generate"), request, event, tokens, lines=True)
EMBED = Format("ollama.embed", "embeddings", _path("/api/embed", "/api/embeddings"), request, embed_event, tokens)
