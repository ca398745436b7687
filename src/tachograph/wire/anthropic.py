"""Anthropic messages, wherever they are hosted: JSON, server-sent events, results of a batch; and the old completions.

In: `POST .../messages` at Anthropic, at Azure Foundry (`/anthropic/v1/messages`) and at servers that imitate it,
`publishers/anthropic/models/...:rawPredict` at Vertex; `bedrock` hands over the same bodies. Out: Found.
The counts of input are three disjoint ones. A stream says what is known of the input first (`message_start`) and the
final, cumulative counts last (`message_delta`): the later count of each member wins, nothing is added. Source:
providers.md A3.
What it must never know: prices, framing.
"""

from __future__ import annotations

import re
from typing import Any

from tachograph.wire import errors
from tachograph.wire import tokens as arithmetic
from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, merged, name, number
from tachograph.wire.repeats import Varying
from tachograph.wire.tokens import PARTS, Tokens

OUTPUT_UNKNOWN = "usage_partial"  # only the start of a stream was seen: its output count is a starting value

_VERTEX_MODEL = re.compile(r"/publishers/anthropic/models/([^/:]+):(?:stream)?[rR]awPredict$")
_MESSAGES = re.compile(r"(^|/v1|/(?:anthropic|claude)(?:/.*)?)/messages$")
_BATCH = re.compile(r"/messages/batches/([^/]+)/results$")
_COUNTER = "count-tokens"  # Vertex counts tokens under the name of a model
_OTHERS_HOST = ("aws.", "gcp.", "azure.")


# messages


def event(found: Found, event_name: str, value: Any) -> bool:
    """An event of a stream, or a whole message as one event; both say their `type`."""
    body = mapping(value)
    kind = name(body.get("type"))
    if kind in ("message", "message_start"):
        return _message(found, mapping(body.get("message")) if kind == "message_start" else body, kind)
    if kind == "message_delta":
        _delta(found, body)
    elif kind == "content_block_start":
        return _block(found, mapping(body.get("content_block")), f"{count(body.get('index'))}")
    elif kind == "content_block_delta":
        return _piece(found, mapping(body.get("delta")))
    elif kind == "message_stop":
        found.terminal = True
    elif kind == "error":
        found.request_id = name(body.get("request_id")) or found.request_id
    elif kind is None and (body.get("usage") or body.get("content")):  # imitators forget the type
        return _message(found, body, "message")
    return False


def _message(found: Found, message: dict[str, Any], kind: str) -> bool:
    found.response_model = name(message.get("model")) or found.response_model
    found.response_id = name(message.get("id")) or found.response_id
    if kind == "message_start":
        found.flags.add(OUTPUT_UNKNOWN)
    usage_facts(found, message.get("usage"))
    _stopped(found, message)
    content = False
    for index, block in enumerate(items(message.get("content"))):
        content = _block(found, mapping(block), str(index)) or content
    if kind == "message":
        found.terminal = True
    return content


def _delta(found: Found, body: dict[str, Any]) -> None:
    usage = mapping(body.get("usage"))
    if count(usage.get("output_tokens")) is not None:
        found.flags.discard(OUTPUT_UNKNOWN)
    usage_facts(found, usage)
    _stopped(found, mapping(body.get("delta")))


def _stopped(found: Found, holder: dict[str, Any]) -> None:
    reason = name(holder.get("stop_reason"))
    if reason:
        finished(found, reason)


def _block(found: Found, block: dict[str, Any], index: str) -> bool:
    """A content block, whole or just begun. Tools that the server runs itself are no calls of the caller's."""
    kind = block.get("type")
    if kind == "tool_use":
        found.tool_ids.add(name(block.get("id")) or index)
        return True
    if kind == "fallback":  # the model of `message_start` declined: this one answers
        found.response_model = name(mapping(block.get("to")).get("model")) or found.response_model
        return False
    if kind in ("thinking", "redacted_thinking"):
        found.reasoning_seen = True
        return bool(block.get("thinking") or block.get("data"))
    return bool(kind in ("text", "compaction") and (block.get("text") or block.get("content")))


def _piece(found: Found, delta: dict[str, Any]) -> bool:
    if delta.get("type") == "thinking_delta":
        found.reasoning_seen = True
    return any(bool(delta.get(member)) for member in ("text", "thinking", "partial_json", "content"))


def usage_facts(found: Found, value: Any) -> None:
    """A `usage` object over what is known already, and what else in it moves the price."""
    usage = mapping(value)
    found.usage = merged(found.usage, usage)
    found.service_tier = name(usage.get("service_tier")) or found.service_tier
    for member in ("inference_geo", "speed"):
        word = name(usage.get(member))
        if word:
            found.price_context[member] = word
    searches = count(mapping(usage.get("server_tool_use")).get("web_search_requests"))
    if searches:
        found.price_context["web_searches"] = str(searches)
    iterations = [mapping(entry) for entry in items(usage.get("iterations"))]
    if _billed_apart(found, iterations):
        found.iterations = [_iteration(entry) for entry in iterations[:64]]


def _billed_apart(found: Found, iterations: list[dict[str, Any]]) -> bool:
    """A single entry of the message itself says what the top level says already."""
    if len(iterations) > 1:
        return True
    return any(
        entry.get("type") not in (None, "message") or entry.get("model") not in (None, found.response_model)
        for entry in iterations
    )


def _iteration(entry: dict[str, Any]) -> dict[str, Any]:
    counted = parts(entry)
    known = {part: getattr(counted, part) for part in PARTS if getattr(counted, part) is not None}
    words: dict[str, Any] = {"type": name(entry.get("type")) or "message"}
    if name(entry.get("model")):
        words["model"] = name(entry.get("model"))
    return words | known


def parts(usage: dict[str, Any]) -> Tokens:
    """The parts of one `usage` object, or of one entry of its iterations."""
    written_5m, written_1h = _written(usage)
    return arithmetic.exclusive(
        input_tokens=count(usage.get("input_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        cache_read=count(usage.get("cache_read_input_tokens")),
        cache_write_5m=written_5m,
        cache_write_1h=written_1h,
        reasoning=count(mapping(usage.get("output_tokens_details")).get("thinking_tokens")),
    )


def _written(usage: dict[str, Any]) -> tuple[int | None, int | None]:
    """(5 minutes, 1 hour). The split comes at the start of a stream only; what the total grew by since is 5m."""
    total = count(usage.get("cache_creation_input_tokens"))
    split = mapping(usage.get("cache_creation"))
    short, long = count(split.get("ephemeral_5m_input_tokens")), count(split.get("ephemeral_1h_input_tokens"))
    if total is None:
        return short, long
    if long is not None:
        long = min(long, total)
    return total - (long or 0), long


def tokens(found: Found) -> Tokens | None:
    """The parts; where a stream broke off after its start, the input alone."""
    if not found.usage:
        return None
    counted = parts(found.usage)
    if OUTPUT_UNKNOWN in found.flags:
        counted.output_visible = counted.output_reasoning = None
    return counted


def matches(asked: Asked) -> bool:
    """By path, whatever the host; OpenAI's threads have messages too."""
    return bool(_MESSAGES.search(asked.path)) or bool(_VERTEX_MODEL.search(asked.path))


def request(found: Found, asked: Asked) -> None:
    """Model and limits from the body; Vertex has its model in the path."""
    members = asked.members
    in_path = _VERTEX_MODEL.search(asked.path)
    found.request_model = name(members.get("model"))
    if in_path and in_path.group(1) != _COUNTER:
        found.request_model = name(in_path.group(1))
    found.max_output_tokens = count(members.get("max_tokens"))
    if found.max_output_tokens is None:
        found.max_output_tokens = count(members.get("max_tokens_to_sample"))
    found.temperature = number(members.get("temperature"))
    found.user_id = name(mapping(members.get("metadata")).get("user_id"))
    if found.provider.startswith(_OTHERS_HOST):
        found.vendor = "anthropic"


# counting, which is free


def _counts(asked: Asked) -> bool:
    return asked.path.endswith("/messages/count_tokens") or f"/models/{_COUNTER}:" in asked.path


def uncounted(found: Found, event_name: str, value: Any) -> bool:
    """A count of tokens is an answer without usage: nothing was generated, nothing is billed."""
    body = mapping(value)
    found.request_id = name(body.get("request_id")) or found.request_id
    found.terminal = True
    return False


def no_tokens(found: Found) -> Tokens | None:
    """Nothing to book."""
    return None


# batches: one Found per result


def batch_event(found: Found, event_name: str, value: Any) -> bool:
    """A line of the results file."""
    body = mapping(value)
    result = mapping(body.get("result"))
    kind = name(result.get("type"))
    if kind is None:
        found.request_id = name(body.get("request_id")) or found.request_id
        return False
    part = Found(provider=found.provider, vendor=found.vendor)
    part.price_context["processing"] = "batch"
    if kind == "succeeded":
        _message(part, mapping(result.get("message")), "message")
    elif kind == "errored":
        errors.note(part, mapping(result.get("error")), None, {})
    elif kind == "canceled":
        part.error_type, part.error_code = "cancelled", kind
    else:
        part.error_type, part.error_code = "timeout" if kind == "expired" else "other", kind
    found.parts.append(part)
    found.terminal = True
    return False


def batch_request(found: Found, asked: Asked) -> None:
    """The file says everything else."""
    if found.provider.startswith(_OTHERS_HOST):
        found.vendor = "anthropic"


# completions, until 2024


def complete_event(found: Found, event_name: str, value: Any) -> bool:
    """A completion, whole or a piece of it; the last piece says why it ended."""
    body = mapping(value)
    found.response_model = name(body.get("model")) or found.response_model
    found.response_id = name(body.get("id")) or found.response_id
    _stopped(found, body)
    if found.finish_reason:
        found.terminal = True
    usage_facts(found, body.get("usage"))
    return bool(body.get("completion"))


DELTAS = ("delta.text", "delta.thinking", "delta.partial_json", "delta.content", "delta.signature")
MESSAGES = Format("anthropic.messages", "chat", matches, request, event, tokens, varying=Varying(*DELTAS))
COUNT_TOKENS = Format("anthropic.count_tokens", "count_tokens", _counts, request, uncounted, no_tokens)
BATCH = Format(
    "anthropic.batch",
    "chat",
    lambda asked: bool(_BATCH.search(asked.path)),
    batch_request,
    batch_event,
    tokens,
    lines=True,
)
COMPLETE = Format(
    "anthropic.complete",
    "text_completion",
    lambda asked: asked.path.endswith("/v1/complete"),
    request,
    complete_event,
    tokens,
)
