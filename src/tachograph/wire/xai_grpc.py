"""xAI's gRPC services: chat, sampling, images, as its own client library speaks them.

In: messages as plain objects under the names of xAI's protocol buffers, enumerations by name, zeros left out; one for
each message of a stream. Out: Found. Cached tokens are inside the input and cost is stated in ticks, as in xAI's REST
answers: other names, the same arithmetic. Tools that the server ran for itself are listed with those it asks for.
Source: xai-org/xai-proto, `chat.proto`, `sample.proto`, `image.proto`, `usage.proto`.
What it must never know: protocol buffers, gRPC, a price.
"""

from __future__ import annotations

from typing import Any

from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, name
from tachograph.wire.openai_usage import created, is_reasoning, request_facts, take_usage, unit, usage_tokens
from tachograph.wire.tokens import Tokens

# Methods that are calls to a model. What is deferred is asked for many times: the answer of the first method has no
# counts, the second one's most often not either.
CHAT_METHODS = ("/xai_api.Chat/GetCompletion", "/xai_api.Chat/GetCompletionChunk", "/xai_api.Chat/CompactContext")
SAMPLE_METHODS = ("/xai_api.Sample/SampleText", "/xai_api.Sample/SampleTextStreaming")
IMAGE_METHODS = ("/xai_api.Image/GenerateImage",)
METHODS = frozenset((*CHAT_METHODS, *SAMPLE_METHODS, *IMAGE_METHODS))

_REASONS = {
    "REASON_STOP": "stop",
    "REASON_MAX_LEN": "length",
    "REASON_MAX_CONTEXT": "length",
    "REASON_TIME_LIMIT": "length",  # cut short, by the clock
    "REASON_TOOL_CALLS": "tool_calls",
}
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens")
_TIER = "SERVICE_TIER_"
_SEARCHES = frozenset(("SERVER_SIDE_TOOL_WEB_SEARCH", "SERVER_SIDE_TOOL_X_SEARCH"))
_OURS = frozenset((None, "TOOL_CALL_TYPE_INVALID", "TOOL_CALL_TYPE_CLIENT_SIDE_TOOL"))


def request(found: Found, asked: Asked) -> None:
    """Model and limits. Nobody else serves these methods: a host of another name stands before xAI."""
    request_facts(found, asked)
    if found.provider == "unknown":
        found.provider = "x_ai"


def event(found: Found, event_name: str, value: Any) -> bool:
    """A whole answer, or one message of a stream."""
    body = mapping(value)
    found.response_model = name(body.get("model")) or found.response_model
    found.response_id = found.response_id or name(body.get("id"))
    found.created_at = found.created_at or created(body.get("created"))
    tier = name(body.get("service_tier")) or ""
    if tier.startswith(_TIER):
        found.service_tier = tier.removeprefix(_TIER).lower()
    usage = mapping(body.get("usage"))
    if usage:
        take_usage(found, usage)
        used = items(usage.get("server_side_tools_used"))
        unit(found, "web_searches", sum(isinstance(tool, str) and tool in _SEARCHES for tool in used))
    outputs = [*items(body.get("outputs")), *items(body.get("choices"))]
    contents = [_output(found, mapping(output)) for output in outputs]
    return any(contents) or bool(items(body.get("images"))) or "encrypted_content" in body


def _output(found: Found, output: dict[str, Any]) -> bool:
    """One answer of several, or a piece of it; whether it carries content."""
    reason = name(output.get("finish_reason"))
    if reason:
        finished(found, _REASONS.get(reason, reason.removeprefix("REASON_").lower()))
        found.terminal = True
    piece = mapping(output.get("delta")) or mapping(output.get("message"))
    calls = [call for call in map(mapping, items(piece.get("tool_calls"))) if _asked_for(call)]
    for position, call in enumerate(calls):
        found.tool_ids.add(name(call.get("id")) or f"{count(output.get('index')) or 0}/{position}")
    thought = bool(piece.get("reasoning_content"))
    said = bool(piece.get("content") or output.get("text") or calls)
    found.reasoning_seen = found.reasoning_seen or thought
    found.visible_pieces += said
    found.reasoning_pieces += thought and not said
    return said or thought


def _asked_for(call: dict[str, Any]) -> bool:
    """Whether the caller is to run this tool; the others xAI has run."""
    kind = call.get("type")
    return kind is None or (isinstance(kind, str) and kind in _OURS)


def tokens(found: Found) -> Tokens | None:
    """The parts. Beside others, a count that is not there is zero: that is how protocol buffers write it."""
    usage = found.usage
    if not usage:
        return None
    if not any(count(usage.get(member)) for member in _COUNTS):
        return usage_tokens({})  # images: money alone
    spelled = {member: count(usage.get(member)) or 0 for member in ("prompt_tokens", "completion_tokens")}
    total = count(usage.get("total_tokens"))
    inputs = {"cached_tokens": count(usage.get("cached_prompt_text_tokens")) or 0}
    images = count(usage.get("prompt_image_tokens"))
    outputs = {"reasoning_tokens": count(usage.get("reasoning_tokens")) or 0}
    return usage_tokens(
        {
            **spelled,
            **({} if total is None else {"total_tokens": total}),
            "prompt_tokens_details": inputs | ({"image_tokens": images} if images else {}),
            "completion_tokens_details": outputs,
        },
        reasoning_model=is_reasoning(found),
    )


def _of(methods: tuple[str, ...], kind: str, operation: str) -> Format:
    return Format(kind, operation, lambda asked: asked.path in methods, request, event, tokens)


CHAT = _of(CHAT_METHODS, "xai.chat", "chat")
SAMPLE = _of(SAMPLE_METHODS, "xai.sample", "text_completion")
IMAGE = _of(IMAGE_METHODS, "xai.image", "image")
