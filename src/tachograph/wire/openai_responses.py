"""OpenAI responses, at OpenAI, Azure, Bedrock mantle, xAI, DeepSeek, OpenRouter, LM Studio, and Perplexity's agent.

In: `POST .../responses`, polls of `.../responses/{id}`, whole or as a stream whose events are named `response.*`.
Usage comes once, in the object that ends the answer; the tier is what the last event says, the first says `auto`. A
background answer is polled: until it ends it has no usage, afterwards every poll repeats it under the same id.
Out: Found. Source: providers.md A0, A1.4, A2, A8, A9, A14.
"""

from __future__ import annotations

import re
from typing import Any

from tachograph.wire import errors
from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, name
from tachograph.wire.openai_usage import (
    chat_tokens,
    created,
    iteration,
    request_facts,
    take_usage,
    unit,
    usage_tokens,
)
from tachograph.wire.repeats import Varying
from tachograph.wire.tokens import Tokens

_PATH = re.compile(r"/responses(/(?!input_tokens)[^/]+(/cancel)?)?$|/v1/agent$")
_COUNT_PATH = re.compile(r"/responses/input_tokens$")
_ENDS = frozenset(("response.completed", "response.incomplete", "response.failed", "response.cancelled"))
_PENDING = frozenset(("queued", "in_progress"))
# Items that the caller has to execute; the provider's own tools (web search, MCP, ...) ask nobody.
_CALLS = frozenset(
    ("function_call", "custom_tool_call", "local_shell_call", "shell_call", "computer_call", "apply_patch_call")
)


def event(found: Found, event_name: str, value: Any) -> bool:
    """An event of a stream, or a whole answer."""
    if value == "[DONE]":  # OpenRouter
        found.terminal = True
        return False
    body = mapping(value)
    kind = name(body.get("type")) or event_name
    if event_name == "sent":  # over a WebSocket
        asked_of = name(body.get("model")) or name(mapping(body.get("response")).get("model"))
        found.request_model = found.request_model or asked_of
        return False
    if kind == "error":
        _failed(found, mapping(body.get("error")) or body)
        return False
    if not kind.startswith("response."):
        _answer(found, body, ended=True)
        return False
    if _seen(found, body, kind):
        return False
    if mapping(body.get("response")):
        _answer(found, mapping(body["response"]), ended=kind in _ENDS)
    if kind in _ENDS:
        found.terminal = True
    elif kind.startswith("response.output_item."):
        _item(found, body.get("output_index"), mapping(body.get("item")))
    return _content(found, kind)


def _seen(found: Found, body: dict[str, Any], kind: str) -> bool:
    """Whether a stream that was resumed repeats itself. Servers that number nothing send one number for all."""
    number = count(body.get("sequence_number"))
    if number is None:
        return False
    if found.sequence is not None and kind not in _ENDS and (number < found.sequence or number == found.sequence > 0):
        return True
    found.sequence = number
    return False


def _content(found: Found, kind: str) -> bool:
    if kind.endswith(".delta"):
        found.reasoning_seen = found.reasoning_seen or "reasoning" in kind
        return True
    return kind == "response.image_generation_call.partial_image"


def _answer(found: Found, answer: dict[str, Any], *, ended: bool) -> None:
    found.response_model = name(answer.get("model")) or found.response_model
    found.response_id = name(answer.get("id")) or found.response_id
    found.service_tier = name(answer.get("service_tier")) or found.service_tier
    found.created_at = found.created_at or created(answer.get("created_at"))
    found.conversation_id = name(mapping(answer.get("conversation")).get("id")) or found.conversation_id
    take_usage(found, answer.get("usage"))
    if not ended:
        return
    status = name(answer.get("status")) or ""
    if status in _PENDING:
        found.flags.add("pending")  # a background answer: the usage comes with a later poll
        return
    output = items(answer.get("output"))
    _items(found, output)
    _tool_usage(found, answer, output)
    _finish(found, answer, status)


def _items(found: Found, output: list[Any]) -> None:
    """The items of the final object replace those of the stream, unless its list was too long to be kept whole."""
    streamed = set(found.tool_ids)
    found.tool_ids.clear()
    for index, item in enumerate(output):
        _item(found, index, mapping(item))
    if len(found.tool_ids) < len(streamed):
        found.tool_ids = streamed


def _item(found: Found, index: Any, item: dict[str, Any]) -> None:
    kind = name(item.get("type"))
    if kind in _CALLS or (kind == "tool_search_call" and item.get("execution") == "client"):
        position = count(index)
        found.tool_ids.add(str(position) if position is not None else name(item.get("id")) or "-")
    if kind == "reasoning":
        found.reasoning_seen = True


def _finish(found: Found, answer: dict[str, Any], status: str) -> None:
    if status == "incomplete":
        finished(found, name(mapping(answer.get("incomplete_details")).get("reason")) or "other")
    elif status == "failed":
        finished(found, "failed")
        _failed(found, mapping(answer.get("error")))
    elif status == "cancelled":
        finished(found, "cancelled")
        found.error_type = found.error_type or "cancelled"
    elif status == "completed" or found.usage:
        finished(found, "tool_calls" if found.tool_ids else "stop")


def _failed(found: Found, error: dict[str, Any]) -> None:
    if error and found.error_type is None:
        words = {**error, "type": None} if error.get("type") == "error" else error
        errors.note(found, {"error": words}, None, {})


def _tool_usage(found: Found, answer: dict[str, Any], output: list[Any]) -> None:
    """What the provider's own tools used, beside the usage. Older answers state no counts: the items are counted."""
    stated = mapping(answer.get("tool_usage"))
    searches = count(mapping(stated.get("web_search")).get("num_requests"))
    kinds = [mapping(item) for item in output]
    if searches is None and "web_searches" not in found.price_context:
        calls = [item for item in kinds if item.get("type") == "web_search_call"]
        searches = sum(mapping(item.get("action")).get("type") in ("search", None) for item in calls)
    unit(found, "web_searches", searches)
    unit(found, "storage_searches", sum(item.get("type") == "file_search_call" for item in kinds))
    if count(mapping(stated.get("image_gen")).get("total_tokens")):
        found.usage_copies["image_gen"] = mapping(stated["image_gen"])
        found.usage_copies["image_gen_model"] = _image_model(answer)


def _image_model(answer: dict[str, Any]) -> str:
    """The model of the image tool, as the answer repeats it; a name without a price where it does not."""
    for tool in map(mapping, items(answer.get("tools"))):
        if tool.get("type") == "image_generation" and name(tool.get("model")):
            return str(tool["model"])[:64]
    return "image_generation"


def tokens(found: Found) -> Tokens | None:
    """The parts of the answering model; the image tool's own tokens are an inner call of another model."""
    whole = chat_tokens(found)
    drawn = mapping(found.usage_copies.get("image_gen"))
    if whole is not None and drawn:
        model = name(found.usage_copies.get("image_gen_model"))
        found.iterations = [iteration(whole), iteration(usage_tokens(drawn), model)]
    return whole


def matches(asked: Asked) -> bool:
    """By path, also polls and cancellations of one answer."""
    return bool(_PATH.search(asked.path))


def request(found: Found, asked: Asked) -> None:
    """Model, limits and tier; a poll asks for none."""
    request_facts(found, asked)
    conversation = asked.members.get("conversation")
    found.conversation_id = name(conversation) or name(mapping(conversation).get("id"))


def _count_event(found: Found, event_name: str, value: Any) -> bool:
    found.response_model = name(mapping(value).get("model"))
    return False


def _counts_nothing(_found: Found) -> Tokens | None:
    return None


def _count_matches(asked: Asked) -> bool:
    return bool(_COUNT_PATH.search(asked.path))


_VARYING = Varying("delta", "obfuscation", numbered=True)
RESPONSES = Format("openai.responses", "chat", matches, request, event, tokens, varying=_VARYING)
# Counting is free: nothing is booked.
INPUT_TOKENS = Format(
    "openai.input_tokens", "count_tokens", _count_matches, request_facts, _count_event, _counts_nothing
)
