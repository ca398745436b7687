"""DashScope's own generation endpoints.

In: `POST .../services/aigc/{text,multimodal}-generation/generation`: whole answers, or streams whose events repeat the
counts so far; a finish reason is the text `null` until the end. The answer names no model. Out: Found.
Source: providers.md A0, A14.
"""

from __future__ import annotations

import re
from typing import Any

from tachograph.wire import errors
from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, name, number
from tachograph.wire.openai_usage import chat_tokens, take_usage
from tachograph.wire.tokens import Tokens

_PATH = re.compile(r"/services/aigc/(text|multimodal)-generation/generation$")


def event(found: Found, event_name: str, value: Any) -> bool:
    """A whole answer, or what there is of it so far; an error has its code at the top."""
    body = mapping(value)
    found.request_id = found.request_id or name(body.get("request_id"))
    if body.get("code") and not body.get("output"):
        if found.error_type is None:
            errors.note(found, {"error": body}, None, {})
        return False
    take_usage(found, body.get("usage"))
    output = mapping(body.get("output"))
    _finish(found, output)
    content = bool(output.get("text"))
    for index, choice in enumerate(map(mapping, items(output.get("choices")))):
        _finish(found, choice)
        message = mapping(choice.get("message"))
        for position, _call in enumerate(items(message.get("tool_calls"))):
            found.tool_ids.add(f"{index}/{position}")
        found.reasoning_seen = found.reasoning_seen or bool(message.get("reasoning_content"))
        content = content or any(bool(message.get(key)) for key in ("content", "reasoning_content", "tool_calls"))
    return content


def _finish(found: Found, holder: dict[str, Any]) -> None:
    word = name(holder.get("finish_reason"))
    if word and word != "null":
        finished(found, word)
        found.terminal = True


def tokens(found: Found) -> Tokens | None:
    """The parts; older answers count images beside the details."""
    parts = chat_tokens(found) if found.usage else None
    if parts is not None and parts.image_input is None:
        parts.image_input = count(mapping(found.usage).get("image_tokens"))
    return parts


def matches(asked: Asked) -> bool:
    """By path, whatever the host."""
    return bool(_PATH.search(asked.path))


def request(found: Found, asked: Asked) -> None:
    """Model at the top, limits among the parameters."""
    parameters = mapping(asked.members.get("parameters"))
    found.request_model = name(asked.members.get("model"))
    found.max_output_tokens = count(parameters.get("max_tokens"))
    found.temperature = number(parameters.get("temperature"))


GENERATION = Format("alibaba.generation", "chat", matches, request, event, tokens)
