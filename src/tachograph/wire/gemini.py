"""Gemini's own API: generateContent and its stream, on the Gemini API, on Vertex and on tuned endpoints.

In: `.../models/{model}:generateContent`, `:streamGenerateContent` as server-sent events or as one JSON array sent
piecewise, `:countTokens`; the model stands in the path alone. Out: Found. An answer may be blocked with status 200
(`promptFeedback`), and its prompt is billed all the same. Source: providers.md A4, A14.
What it must never know: prices, framing.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, name, number
from tachograph.wire.gemini_usage import content_tokens, keep_usage, word
from tachograph.wire.tokens import Tokens

_PATH = re.compile(r"(?:/models/|/((?:tunedModels|endpoints)/))([^/]+?):(\w+)$")
_UNSAID = "-"  # recordings that kept no URL

# Numbers of `finishReason`: the two APIs count differently from 6 on.
_FINISH_BOTH = {0: "FINISH_REASON_UNSPECIFIED", 1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
_FINISH_GEMINI = _FINISH_BOTH | {
    6: "LANGUAGE",
    7: "BLOCKLIST",
    8: "PROHIBITED_CONTENT",
    9: "SPII",
    10: "MALFORMED_FUNCTION_CALL",
    11: "IMAGE_SAFETY",
    12: "UNEXPECTED_TOOL_CALL",
    13: "TOO_MANY_TOOL_CALLS",
}
_FINISH_VERTEX = _FINISH_BOTH | {
    6: "BLOCKLIST",
    7: "PROHIBITED_CONTENT",
    8: "SPII",
    9: "MALFORMED_FUNCTION_CALL",
    10: "MODEL_ARMOR",
    11: "IMAGE_SAFETY",
    12: "IMAGE_PROHIBITED_CONTENT",
    13: "IMAGE_RECITATION",
    14: "IMAGE_OTHER",
    15: "UNEXPECTED_TOOL_CALL",
    16: "NO_IMAGE",
}
_BLOCKS = {1: "SAFETY", 2: "OTHER", 3: "BLOCKLIST", 4: "PROHIBITED_CONTENT", 5: "MODEL_ARMOR", 6: "IMAGE_SAFETY"}
_CONTENT = ("text", "functionCall", "inlineData", "fileData", "executableCode", "codeExecutionResult")


def event(found: Found, event_name: str, value: Any) -> bool:
    """A chunk of a stream, or the whole answer: both are a GenerateContentResponse."""
    body = mapping(value)
    found.response_model = name(body.get("modelVersion")) or found.response_model
    found.response_id = name(body.get("responseId")) or found.response_id
    found.created_at = moment(body.get("createTime")) or found.created_at
    keep_usage(found, body.get("usageMetadata"))
    _block(found, mapping(body.get("promptFeedback")))
    content = False
    for candidate in items(body.get("candidates")):
        content = _candidate(found, mapping(candidate)) or content
    return content


def moment(value: Any) -> datetime | None:
    """A time in RFC 3339; nanoseconds are cut."""
    text = re.sub(r"(\.\d{6})\d+", r"\1", name(value) or "")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else None


def _block(found: Found, feedback: dict[str, Any]) -> None:
    reason = word(feedback.get("blockReason"), _BLOCKS)
    if not reason or reason in ("0", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"):
        return
    found.finish, found.finish_reason = reason, "content_filter"
    found.error_type, found.error_code = "content_filter", reason
    found.terminal = True


def _candidate(found: Found, candidate: dict[str, Any]) -> bool:
    words = _FINISH_VERTEX if found.provider == "gcp.vertex_ai" else _FINISH_GEMINI
    reason = word(candidate.get("finishReason"), words)
    if reason:
        finished(found, reason)
        found.terminal = True
    queries = items(mapping(candidate.get("groundingMetadata")).get("webSearchQueries"))
    if queries:
        found.price_context["web_searches"] = str(len(queries))
    return parts(found, mapping(candidate.get("content")).get("parts"))


def parts(found: Found, value: Any) -> bool:
    """The parts of a content: whether one of them was content; function calls are counted by their names.

    Arguments that are streamed come as further parts without a name. `toolCall` is a tool that the server runs.
    """
    content = False
    for part in map(mapping, items(value)):
        call = mapping(part.get("functionCall"))
        if call.get("name"):
            found.tool_calls = (found.tool_calls or 0) + 1
        if part.get("thought") is True:
            found.reasoning_seen = True
        content = content or any(bool(part.get(member)) for member in _CONTENT)
    return content


def method(asked: Asked) -> str:
    """The verb at the end of the path: `generateContent`, `predict`, ..."""
    found = _PATH.search(asked.path)
    return found.group(3) if found else ""


def request(found: Found, asked: Asked) -> None:
    """Model from the path, limits from the body."""
    where = _PATH.search(asked.path)
    if where and where.group(2) != _UNSAID:
        found.request_model = name((where.group(1) or "") + where.group(2))
    config = mapping(asked.members.get("generationConfig")) or mapping(asked.members.get("generation_config"))
    limit = config.get("maxOutputTokens", config.get("max_output_tokens"))
    found.max_output_tokens = count(limit)
    found.temperature = number(config.get("temperature"))


def _counted(found: Found, event_name: str, value: Any) -> bool:
    found.terminal = True  # what was counted was not generated: nothing to book
    return False


def _no_tokens(found: Found) -> Tokens | None:
    return None


GENERATE = Format(
    "gemini.generate_content",
    "generate_content",
    lambda asked: method(asked) in ("generateContent", "streamGenerateContent"),
    request,
    event,
    content_tokens,
)
COUNT_TOKENS = Format(
    "gemini.count_tokens",
    "count_tokens",
    lambda asked: method(asked) in ("countTokens", "computeTokens", "countTextTokens"),
    request,
    _counted,
    _no_tokens,
)
